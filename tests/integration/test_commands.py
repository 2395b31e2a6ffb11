"""The commands for staff, as a terminal and a pipe see them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ

from lightning.errors import NodeUnavailable
from orders import actors, keys, marks
from orders.management.commands import retry_give_up
from orders.models import ChannelOrder, HoldInvoice, OnchainPayment, OrderEvent
from orders.operations import giving_up
from orders.states import InvoiceState, OrderState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory
from tests.fakes import FakeNode
from tests.house.source import ROOT

TRAITS = (
    *("", "paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "closed"),
    *("give_up", "refunded", "rejected", "expired"),
)


def run(*arguments: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def fails(*arguments: str) -> tuple[str, str, int]:
    """What it prints, what it says when it fails, and its exit code."""
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(*arguments, stdout=out)
    return out.getvalue(), str(raised.value), raised.value.returncode


def given_up(**traits: Any) -> ChannelOrder:
    """An order that was given up just now, with the journal's word for it."""
    order = OrderFactory(uri_set=True, **traits)
    return giving_up.give_up(order.pk, reason="PEER_NOT_REACHABLE", actor=actors.LSP)


def state_of(order: ChannelOrder) -> str:
    return ChannelOrder.objects.get(pk=order.pk).state


# retry_give_up


@pytest.mark.django_db
def test_all_orders_with_a_secured_payment_are_retried_and_the_others_say_why_not() -> None:
    held, lost = given_up(), given_up()
    other = OrderFactory(uri_set=True)
    onchain = OrderFactory(give_up=True, counted_payment="onchain")
    OnchainPayment.objects.filter(order=onchain).delete()
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.RETURNING)
    told = run("retry_give_up", "--all").splitlines()
    assert set(told[:-1]) == {
        f"{held.pk}  retried",
        f"{lost.pk}  not retried: The Lightning payment is not held any more.",
        f"{onchain.pk}  not retried: The on-chain payment is not confirmed.",
    }
    assert told[-1] == "1 retried, 2 not."
    assert [state_of(order) for order in (held, lost, onchain)] == ["uri_set", "give_up", "give_up"]
    assert not OrderEvent.objects.filter(order=other).exists()


@pytest.mark.django_db
def test_a_retry_is_journalled_with_the_name_of_who_ran_it() -> None:
    order = given_up()
    run("retry_give_up", "--order", str(order.pk))
    event = OrderEvent.objects.filter(order=order).latest("version")
    assert (event.cause, event.actor) == ("retried", f"command:{retry_give_up.os_user()}")
    assert ChannelOrder.objects.get(pk=order.pk).due_at is not None  # the worker looks at it next


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert retry_give_up.os_user() == "4000000001"


@pytest.mark.django_db
def test_a_dry_run_changes_nothing_and_says_the_same() -> None:
    held, lost = given_up(), given_up()
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.CANCELLED)
    before = list(ChannelOrder.objects.order_by("pk").values()), list(OrderEvent.objects.order_by("pk").values())
    told = run("retry_give_up", "--all", "--dry-run")
    assert f"{held.pk}  would be retried" in told
    assert f"{lost.pk}  not retried: The Lightning payment is not held any more." in told
    assert "1 would be retried, 1 not." in told
    assert (
        list(ChannelOrder.objects.order_by("pk").values()),
        list(OrderEvent.objects.order_by("pk").values()),
    ) == before


@pytest.mark.django_db
def test_named_orders_that_cannot_be_retried_make_it_fail_after_the_others_were() -> None:
    fine, wrong = given_up(), OrderFactory(open=True)
    out, said, code = fails("retry_give_up", "--order", str(wrong.pk), "--order", str(fine.pk)[:8], "--order", "0000")
    assert f"{wrong.pk}  not retried: The order is in state Open, not given up." in out
    assert f"{fine.pk}  retried" in out
    assert "0000" in out and "No order is known by 0000" in out
    assert (said, code) == ("1 retried, 2 not.", 1) and "1 retried" not in out
    assert state_of(fine) == OrderState.URI_SET


@pytest.mark.django_db
def test_a_dry_run_of_a_named_order_fails_as_the_run_would() -> None:
    wrong = OrderFactory(open=True)
    out, _, code = fails("retry_give_up", "--order", str(wrong.pk), "--dry-run")
    assert "The order is in state Open, not given up." in out and code == 1


@pytest.mark.django_db
def test_since_leaves_out_what_was_given_up_before() -> None:
    old, new = given_up(), given_up()
    OrderEvent.objects.filter(order=old).update(at=timezone.now() - timedelta(hours=7))
    assert f"{old.pk}" not in run("retry_give_up", "--all", "--since", "6h", "--dry-run")
    assert run("retry_give_up", "--all", "--since", "6h").splitlines() == [f"{new.pk}  retried", "1 retried, 0 not."]
    assert f"{old.pk}  retried" in run("retry_give_up", "--all", "--since", "1d")


@pytest.mark.django_db
def test_a_later_event_of_a_given_up_order_is_not_the_giving_up() -> None:
    order = given_up()
    OrderEvent.objects.filter(order=order).update(at=timezone.now() - timedelta(hours=7))
    OrderEvent.objects.create(
        order=order, version=99, at=timezone.now(), actor="lsp", cause="x", from_state="give_up", to_state="give_up"
    )
    assert run("retry_give_up", "--all", "--since", "6h") == "0 retried, 0 not.\n"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-07-01T12:30", datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
        ("2026-07-01 12:30:05Z", datetime(2026, 7, 1, 12, 30, 5, tzinfo=UTC)),
        ("2026-07-01T12:30+02:00", datetime(2026, 7, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_since_takes_iso_times_in_utc(text: str, at: datetime) -> None:
    assert retry_give_up.moment(text) == at


def test_since_takes_how_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 7, 10, tzinfo=UTC)
    monkeypatch.setattr(retry_give_up.timezone, "now", lambda: now)
    ago = {text: now - retry_give_up.moment(text) for text in ("30m", "6h", "2d", "1w")}
    assert ago == {
        "30m": timedelta(minutes=30),
        "6h": timedelta(hours=6),
        "2d": timedelta(days=2),
        "1w": timedelta(weeks=1),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all", "--order", "x"],
        ["--all", "--since", "yesterday"],
        ["--all", "--since", "2026-13-01"],
        ["--all", "--since", "1y"],
        ["--order", "x", "--since", "1d"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    _, said, _ = fails("retry_give_up", *arguments)
    assert "--" in said


# order


@pytest.mark.django_db
def test_the_whole_story_of_an_order_is_told() -> None:
    order = OrderFactory(closed=True, lsp_balance_sat=3_000_000, overpaid=True)
    OpeningFactory(order=order, failed=True, failure_detail="Nobody was there.")
    deposit = DepositFactory(order=order, amount_sat=1_234_567)
    at = datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC)
    OrderEvent.objects.create(
        order=order,
        version=10,
        at=at,
        actor="staff:alice",
        cause="gave_up",
        from_state="uri_set",
        to_state="give_up",
        facts={"reason": "PEER_NOT_REACHABLE", "amount_sat": 1_000},
    )
    told = run("order", str(order.pk))
    opening = order.openings.get(attempt=1)
    for fact in (
        "Closed (CLOSED 450)",
        "overpaid",
        "3,050,000 sat = 3,000,000 sat ours + 50,000 sat pushed",
        f"{order.order_total_sat:,} sat",
        f"{order.lease_fee_sat:,} sat",
        order.hold_invoice.payment_hash,
        "1,234,567 sat, confirmed, block 798",
        str(deposit),
        order.node_pubkey,
        opening.funding_outpoint,
        "PEER_NOT_REACHABLE Nobody was there.",
        order.closing_txid,
        "10  2026-07-01 12:00:05 UTC  staff:alice  "
        "gave up [URI_SET -> GIVE_UP]  reason: PEER_NOT_REACHABLE; amount: 1,000 sat",
    ):
        assert fact in told, fact
    assert "\x1b" not in told
    assert not [line for line in told.splitlines() if line != line.rstrip()]
    assert keys.preimage(order.pk).hex() not in told and keys.order_token(order.pk) not in told


@pytest.mark.django_db
@pytest.mark.parametrize("trait", TRAITS)
def test_an_order_in_any_state_has_a_story_that_says_what_it_waits_for(trait: str) -> None:
    order = OrderFactory(**{trait: True} if trait else {})
    told = run("order", str(order.pk)[:13])
    assert f"({OrderState(order.state).name} " in told
    assert "  waits                 for " in told


@pytest.mark.django_db
def test_an_order_is_told_by_whatever_names_it() -> None:
    order = OrderFactory(closed=True)
    OrderFactory(closed=True)
    opening = order.openings.get()
    for name in (
        order.hold_invoice.payment_hash,
        opening.transaction.txid,
        opening.funding_outpoint,
        order.deposit_address,
        order.closing_txid,
        order.node_pubkey,
        order.pk.hex,
    ):
        assert run("order", str(name)).startswith(f"Order {order.pk}\n"), name


@pytest.mark.django_db
def test_a_name_of_several_orders_names_them() -> None:
    first = OrderFactory(open=True)
    second = OrderFactory(open=True, node_pubkey=first.node_pubkey)
    _, said, code = fails("order", first.node_pubkey)
    assert str(first.pk) in said and str(second.pk) in said and code == 1


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", " ", "0", "no such order", "%", "ff" * 32])
def test_a_name_of_no_order_is_said_to_be_none(name: str) -> None:
    OrderFactory(id=UUID("11111111-1111-4111-8111-111111111111"))
    _, said, code = fails("order", name)
    assert said.startswith("No order is known by ") and code == 1


@pytest.mark.django_db(transaction=True)
def test_in_a_pipe_the_story_has_no_colours_and_its_failure_an_exit_code(database_url: str, settings: Any) -> None:
    order = OrderFactory(give_up=True)
    ours = {"LSP_HOME": str(settings.LSP_HOME), "LSP_ENV_FILE": "", "DATABASE_URL": database_url}
    environment = {**os.environ, **ours, "DJANGO_SETTINGS_MODULE": "lsp_site.settings", "TERM": "xterm-256color"}
    codes = []
    for name in (str(order.pk), "nothing"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "order", name], env=environment, capture_output=True, text=True
        )
        assert "\x1b" not in done.stdout + done.stderr
        codes.append((done.returncode, done.stdout[:6] == "Order "))
    assert codes == [(0, True), (1, False)], done.stderr
    cut = f"{sys.executable} {ROOT / 'manage.py'} order {order.pk} | true"
    done = subprocess.run(["bash", "-c", cut], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")  # who reads no further is told nothing


# reconcile


@pytest.mark.django_db
def test_a_pass_by_hand_says_what_it_did(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.reconcile.look", lambda _: 3)
    order = OrderFactory(uri_set=True, due_at=timezone.now())
    told = run("reconcile").splitlines()
    assert [line.split("(")[0].split() for line in told] == [["node", "reached"], ["nudged", "3"], ["queued", "1"]]
    assert [task.task["args"] for task in OrmQ.objects.all()] == [(str(order.pk),)]


@pytest.mark.django_db
def test_a_pass_that_cannot_read_all_of_the_node_fails_and_still_queues_what_is_due(node: FakeNode) -> None:
    node.fails_at["coins"] = NodeUnavailable("permission denied", reason="PERMISSION_DENIED")
    OrderFactory(uri_set=True, due_at=timezone.now())
    out, _, code = fails("reconcile")
    assert "node    not reached" in out and code == 1
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db
def test_an_order_is_found_by_the_memo_of_its_invoice() -> None:
    """It is what a buyer has who kept nothing but the payment."""
    order = OrderFactory(give_up=True)
    OrderFactory(give_up=True)
    for name in (marks.invoice_memo(order.pk), keys.reference(order.pk), keys.reference(order.pk).upper()):
        told = run("order", name)
        assert f"Order {order.pk}" in told and keys.reference(order.pk) in told
    assert "1 retried, 0 not." in run("retry_give_up", "--order", keys.reference(order.pk))


@pytest.mark.django_db
def test_the_reference_of_an_order_that_was_lost_is_of_no_order() -> None:
    OrderFactory()
    _, said, code = fails("order", keys.reference(uuid4()))
    assert said.startswith("No order is known by ") and code == 1
