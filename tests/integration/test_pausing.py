"""Staff stop sales or openings: nothing new begins, what was begun goes on, and who did it is on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from lightning.types import Invoice, NodeAddress, NodeInvoiceState, Outpoint
from orders import actors, recovering
from orders.advance import advance
from orders.causes import PauseCause
from orders.errors import InvalidField
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, Service, Switch, SwitchEvent, SwitchName
from orders.operations import pausing
from orders.states import OrderState
from tests.factories import OrderFactory, ServiceFactory, txid
from tests.fakes import FakeNode
from tests.integration.conftest import KEY, Api
from tests.scripted import ScriptedNode, channel


class OpeningNode(FakeNode):
    """A node that holds every payment, and notes what it is asked on the way to an opening."""

    def invoice(self, payment_hash: str) -> Invoice:
        order = ChannelOrder.objects.get(hold_invoice__payment_hash=payment_hash)
        total = order.order_total_sat
        return Invoice(
            payment_hash,
            "ln",
            "",
            total,
            NodeInvoiceState.ACCEPTED,
            1,
            held_msat=total * 1000,
            nearest_expiry_height=1088,
        )

    def pending_channels(self, *, seconds: float = 0) -> tuple[()]:
        return ()

    def closed_channels(self) -> tuple[()]:
        return ()

    def transactions(self, *, from_height: int) -> tuple[()]:
        return ()

    def connect(self, address: NodeAddress, *, timeout_seconds: int, believed_seconds: float) -> None:
        self._called("connect")

    def open_channel(self, **_: Any) -> Any:
        self._called("open_channel")
        raise AssertionError("an attempt began")


@pytest.fixture
def opener() -> OpeningNode:
    return OpeningNode()


def claimed() -> ChannelOrder:
    return OrderFactory(uri_set=True, due_at=timezone.now())


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


# Sales


@pytest.mark.django_db(transaction=True)
class TestSales:
    @pytest.fixture(autouse=True)
    def _something_is_on_sale(self, api: Api) -> None:
        if not Service.objects.exists():
            ServiceFactory()

    def test_nothing_is_sold_and_the_buyer_reads_why_and_when_to_come_back(self, api: Api, node: FakeNode) -> None:
        pausing.pause(SwitchName.SALES, reason="We upgrade the node.", actor=actors.staff("alice"))
        answer = api.buy()
        assert (answer.status_code, answer.said["code"]) == (503, "not_available")
        assert answer.said["error"] == "Sales are paused: We upgrade the node."
        assert int(answer["Retry-After"]) > 0
        assert node.calls == [] and not ChannelOrder.objects.exists()

    def test_an_order_that_was_made_is_still_given_to_who_repeats_the_request(self, api: Api) -> None:
        headers = {"Idempotency-Key": KEY}
        first = api.buy(headers).said["order_id"]
        pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
        assert api.buy(headers).said["order_id"] == first

    def test_node_info_says_that_nothing_is_available_and_why(self, api: Api) -> None:
        pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
        told = api.get("/node/info").said
        assert told["paused"] == "an upgrade"
        assert [service["available"] for service in told["services"]] == [False]
        pausing.resume(SwitchName.SALES, actor=actors.staff("alice"))
        told = api.get("/node/info").said
        assert (told["paused"], told["services"][0]["available"]) == ("", True)

    def test_sales_go_on_after_resuming_and_while_only_openings_are_paused(self, api: Api) -> None:
        pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
        pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
        pausing.resume(SwitchName.SALES, actor=actors.staff("alice"))
        assert api.buy().status_code == 200


# Openings


@pytest.mark.django_db(transaction=True)
class TestOpenings:
    def test_no_attempt_begins_and_the_peer_is_not_troubled(self, opener: OpeningNode) -> None:
        order = claimed()
        pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
        advance(order.pk, node=opener)
        order.refresh_from_db()
        assert order.state == OrderState.URI_SET
        assert (order.last_failure_reason, order.failed_openings) == ("OPENINGS_PAUSED", 0)
        assert order.due_at is not None and order.due_at > timezone.now()
        assert "connect" not in opener.calls and not ChannelOpening.objects.exists()
        note = OrderEvent.objects.get(order=order, cause="opening_postponed")
        assert note.facts["detail"] == "an upgrade"

    def test_control_without_the_pause_an_attempt_begins(self, opener: OpeningNode) -> None:
        order = claimed()
        with pytest.raises(AssertionError, match="an attempt began"):
            advance(order.pk, node=opener)
        assert ChannelOpening.objects.filter(order=order).exists()

    def test_no_attempt_begins_that_was_ready_when_the_pause_came(
        self, opener: OpeningNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = claimed()

        def slowly(name: str) -> None:
            if name == "connect":
                pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))

        opener.on_call = slowly
        advance(order.pk, node=opener)
        assert "connect" in opener.calls and not ChannelOpening.objects.exists()

    def test_resuming_makes_those_that_waited_due_at_once_and_no_others(self, opener: OpeningNode) -> None:
        order, other = claimed(), OrderFactory(uri_set=True, due_at=None)
        pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
        advance(order.pk, node=opener)
        pausing.resume(SwitchName.OPENINGS, actor=actors.staff("alice"))
        order.refresh_from_db()
        other.refresh_from_db()
        assert order.due_at is not None and order.due_at <= timezone.now()
        assert other.due_at is None
        with pytest.raises(AssertionError, match="an attempt began"):
            advance(order.pk, node=opener)

    def test_the_deadline_holds_so_that_the_payment_goes_back_in_time(self, opener: OpeningNode) -> None:
        order = claimed()
        pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
        advance(order.pk, node=opener)
        past = timezone.now() - timedelta(seconds=1)
        ChannelOrder.objects.filter(pk=order.pk).update(open_deadline_at=past, due_at=past)
        advance(order.pk, node=opener)
        order.refresh_from_db()
        assert (order.state, order.give_up_reason) == (OrderState.GIVE_UP, "OPENINGS_PAUSED")

    def test_what_is_past_negotiating_goes_on(self, opener: OpeningNode, monkeypatch: pytest.MonkeyPatch) -> None:
        order = OrderFactory(opening=True, due_at=timezone.now())
        pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
        pushed: list[object] = []
        monkeypatch.setattr("orders.advance._push_on", lambda *arguments: pushed.append(arguments[0]))
        monkeypatch.setattr("orders.payments.lightning.settle", lambda *_: None)
        monkeypatch.setattr("orders.advance.following.follow", lambda *_: None)
        advance(order.pk, node=opener)
        assert order.pk in pushed


# The record


@pytest.mark.django_db(transaction=True)
def test_every_switching_is_on_record_with_who_and_why() -> None:
    pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
    pausing.pause(SwitchName.SALES, reason="an  upgrade ", actor=actors.staff("bob"))  # the same: nothing was switched
    pausing.pause(SwitchName.SALES, reason="the disk is full", actor=actors.staff("bob"))
    pausing.resume(SwitchName.SALES, actor=actors.command("carol"))
    pausing.resume(SwitchName.SALES, actor=actors.command("carol"))
    rows = SwitchEvent.objects.values_list("name", "on", "reason", "actor")
    assert list(rows) == [
        ("sales", False, "an upgrade", "staff:alice"),
        ("sales", False, "the disk is full", "staff:bob"),
        ("sales", True, "", "command:carol"),
    ]
    switch = Switch.objects.get()
    assert (switch.on, switch.actor) == (True, "command:carol")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("reason", ["", "  ", "x" * 201])
def test_a_pause_needs_a_reason(reason: str) -> None:
    with pytest.raises(InvalidField):
        pausing.pause(SwitchName.SALES, reason=reason, actor=actors.staff("alice"))
    assert not Switch.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_pause_that_only_sounds_like_it_is_not_one_for_records_that_are_behind() -> None:
    """What a pause was made for is no matter of its words: staff may write what they like."""
    words = "Our records are being checked after a restart"
    pausing.pause(SwitchName.OPENINGS, reason=words, actor=actors.staff("alice"))
    assert not pausing.is_behind()
    assert recovering.resume(actor=actors.command("bob")) == [SwitchName.OPENINGS]
    pausing.pause(
        SwitchName.OPENINGS, reason=words, actor=actors.LSP, cause=PauseCause.BEHIND, named=["channel 1a2b3c4d"]
    )
    assert pausing.is_behind()
    assert recovering.resume(actor=actors.command("bob")) == [] and not pausing.is_behind()
    assert list(SwitchEvent.objects.values_list("cause", "named")) == [
        ("staff", []),
        ("behind", ["channel 1a2b3c4d"]),
        ("staff", []),
    ]


@pytest.mark.django_db
def test_the_database_keeps_no_pause_without_a_reason() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Switch.objects.create(name="sales", on=False, at=timezone.now(), actor="x")


@pytest.mark.django_db(transaction=True)
def test_the_commands_pause_and_resume_what_they_are_told() -> None:
    assert said("pause", "--sales", "--reason", "an upgrade").startswith("sales     paused: an upgrade  (command:")
    assert list(Switch.objects.filter(on=False).values_list("name", flat=True)) == ["sales"]
    said("pause", "--reason", "an upgrade")  # all
    assert Switch.objects.filter(on=False).count() == 3
    assert said("resume", "--openings", "--closings").startswith("openings  on")
    assert list(Switch.objects.filter(on=False).values_list("name", flat=True)) == ["sales"]
    assert len(said("resume").splitlines()) == 3
    with pytest.raises(CommandError, match="reason"):
        call_command("pause", "--reason", " ")


@pytest.mark.django_db(transaction=True)
def test_the_admins_first_page_says_what_is_paused_by_whom_and_why(boss: Client) -> None:
    pausing.pause(SwitchName.OPENINGS, reason="an <upgrade>", actor=actors.staff("alice"))
    page = boss.get("/admin/").content.decode()
    assert "openings paused" in page and "an &lt;upgrade&gt;" in page and "staff:alice" in page
    pausing.resume(SwitchName.OPENINGS, actor=actors.staff("alice"))
    assert "paused" not in boss.get("/admin/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_staff_read_who_switched_what_and_switch_nothing_here(boss: Client) -> None:
    pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
    row = SwitchEvent.objects.get()
    assert "an upgrade" in boss.get("/admin/orders/switchevent/").content.decode()
    assert "staff:alice" in boss.get(f"/admin/orders/switchevent/{row.pk}/change/").content.decode()
    assert boss.get("/admin/orders/switchevent/add/").status_code == 403


# What recover moves


@pytest.mark.django_db
def test_what_recover_returns_and_takes_is_told_with_who_did_it(caplog: pytest.LogCaptureFixture) -> None:
    known, lost, taken = OrderFactory(uri_set=True), uuid4(), uuid4()
    node = ScriptedNode()
    node.cancel_invoice = node.settle_invoice = lambda what: None  # type: ignore[method-assign, misc, assignment]
    node.open = [replace(channel(Outpoint(txid("real"), 0), known), memo=str(taken))]
    kinds = recovering.Kind
    found = [
        recovering.Unknown(kinds.PAYMENT, "aa" * 32, known.pk, 5_000, ""),
        recovering.Unknown(kinds.INVOICE, "bb" * 32, lost, 6_000, ""),
    ]
    ada = actors.command("ada")
    with caplog.at_level("WARNING", logger="orders.operations.noting"):
        assert recovering.return_payments(found, node, actor=ada) == found  # type: ignore[arg-type]
        paid = [recovering.Unknown(kinds.PAYMENT, "cc" * 32, taken, 7_000, "")]
        assert recovering.settle_payments(paid, node, actor=ada) == paid  # type: ignore[arg-type]
    [row] = known.events.filter(cause="payment_returned")
    assert (row.actor, row.facts) == ("command:ada", {"payment_hash": "aa" * 32, "amount_sat": 5_000})
    lines = [record.getMessage() for record in caplog.records]
    assert [f"payment={two * 32} " in line for two, line in zip(("aa", "bb", "cc"), lines, strict=True)] == [True] * 3
    assert all(line.endswith("by command:ada") for line in lines)


# Leaving


def drained() -> tuple[int, str]:
    """The exit code of `manage.py drain`, and what it said."""
    out = StringIO()
    try:
        call_command("drain", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_shop_that_leaves_sells_nothing_new_and_is_done_when_nothing_is_left(api: Api, db: None) -> None:
    ServiceFactory()
    code, said = drained()
    assert (code, "nothing is left" in said) == (0, True)
    paused = Switch.objects.get(name=SwitchName.SALES)
    assert not paused.on and paused.reason == "We sell no more channels."


@pytest.mark.parametrize("trait", ["unpaid", "paid_lightning", "uri_set", "opening", "give_up", "rejected"])
def test_while_anything_that_was_begun_is_not_over_a_shop_does_not_leave(db: None, trait: str) -> None:
    OrderFactory(**({} if trait == "unpaid" else {trait: True}))
    code, said = drained()
    assert code == 1 and "     1 " in said and "nothing is left" not in said


def test_who_has_paused_sales_already_keeps_his_reason_and_channels_are_counted(db: None) -> None:
    pausing.pause(SwitchName.SALES, reason="we move", actor=actors.command("ann"))
    OrderFactory(open=True, lease_ends_at=timezone.now() + timedelta(days=7))
    code, said = drained()
    assert code == 0 and "we move" in said and "1 channels are open; the last that was promised ends " in said


def test_a_flagged_order_keeps_a_shop_from_leaving(db: None) -> None:
    OrderFactory(refunded=True, standing_flags=1)
    assert drained()[0] == 1


@pytest.mark.django_db(transaction=True)
def test_who_pauses_at_a_terminal_reads_it_once_and_the_log_has_what_staff_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said("pause", "--sales", "--reason", "an upgrade")
    assert caplog.records == []
    pausing.resume(SwitchName.SALES, actor=actors.staff("alice"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.django_db(transaction=True)
def test_a_buyer_who_is_refused_by_a_pause_is_no_error_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
    caplog.clear()
    body = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}
    assert client.post("/channel/buy", body, content_type="application/json").status_code == 503
    assert [record.levelname for record in caplog.records if record.name == "django.request"] == ["WARNING"]


@pytest.mark.django_db(transaction=True)
def test_recover_says_what_goes_on_what_stays_and_that_nothing_was_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.connection.node", lambda: None)
    monkeypatch.setattr(recovering, "survey", lambda node: [])
    assert said("recover", "--resume").splitlines()[-1] == "nothing was paused"
    pausing.pause(SwitchName.SALES, reason="an upgrade", actor=actors.staff("alice"))
    pausing.pause(SwitchName.OPENINGS, reason="behind", actor=actors.LSP, cause=PauseCause.BEHIND)
    told = said("recover", "--resume")
    assert "openings go on" in told and "sales stay paused, by staff" in told
