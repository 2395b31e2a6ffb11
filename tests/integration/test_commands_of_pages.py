"""What the admin's pages do, as a terminal and a pipe do it: lists of refunds, notes, and words for machines."""

from __future__ import annotations

import json

import pytest

from orders import actors, keys
from orders.management.commands.retry_give_up import os_user
from orders.models import HoldInvoice, Refund
from orders.operations import giving_up, noting
from orders.states import InvoiceState
from tests.factories import OrderFactory
from tests.fakes import regtest_address
from tests.integration.staff import journal
from tests.integration.test_commands import fails, run
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db


def listed(*arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in run("refund", "--list", "--json", *arguments).splitlines()]


def test_refunds_are_listed_of_all_orders_of_one_and_of_a_state() -> None:
    due = RefundFactory(order=OrderFactory(expired=True, refund_address=regtest_address(8)), amount_sat=4_000)
    sent, kept = RefundFactory(published=True), RefundFactory(kept=True)
    assert [each["order"] for each in listed()] == [str(row.order_id) for row in (kept, sent, due)]
    assert [each["order"] for each in listed("--state", "kept")] == [str(kept.order_id)]
    [told] = listed(str(sent.order_id))
    assert (told["txid"], told["address"], told["fee_sat"]) == (sent.transaction.txid, sent.address, sent.fee_sat)
    [waits] = listed(keys.reference(due.order_id))
    assert (waits["state"], waits["address"], waits["fee_sat"], waits["txid"]) == (
        "due",
        regtest_address(8),
        None,
        None,
    )
    for row in (due, sent, kept):
        assert str(row.order_id) in run("refund", "--list")
    assert "4,000 sat" in run("refund", str(due.order_id), "--list")


def test_where_nothing_goes_back_that_is_said() -> None:
    assert run("refund", "--list") == "no refunds\n" and listed() == []


def test_a_deed_is_told_to_machines_too() -> None:
    refund = RefundFactory(kept=True)
    said = json.loads(run("refund", str(refund.order_id), "--release", "--json"))
    assert said["order"] == str(refund.order_id) and said["done"].startswith("released")
    assert Refund.objects.get().state == "due"


@pytest.mark.parametrize("given", [("--release",), ("--keep", "x", "--state", "due"), ("--to", "x", "--state", "due")])
def test_what_does_not_go_together_ends_with_2(given: tuple[str, ...]) -> None:
    assert fails("refund", *given)[2] == 2


def test_a_note_is_written_in_the_name_of_who_runs_the_command() -> None:
    order = OrderFactory(open=True)
    assert "noted  note: Ask him." in run("order", str(order.pk), "--note", "Ask him.")
    assert journal(order) == [("noted", f"command:{os_user()}")]
    assert "A note of 1 to" in fails("order", str(order.pk), "--note", " ")[1]


def test_the_second_line_of_a_note_looks_like_no_line_of_the_journal() -> None:
    order = OrderFactory(open=True)
    told = run("order", str(order.pk), "--note", "Ask him.\n\n  9  2026-03-01 12:30:00 UTC  lsp  refunded").splitlines()
    [first] = [line for line in told if "note: Ask him." in line]
    _, last = told[told.index(first) + 1 :]
    assert last.index("9  2026") == first.index("noted") + len("  ") > 20


def test_what_was_tried_again_is_told_to_machines_an_order_a_line() -> None:
    fine, lost = OrderFactory(uri_set=True), OrderFactory(uri_set=True)
    for order in (fine, lost):
        giving_up.give_up(order.pk, reason="PEER_NOT_REACHABLE", actor=actors.LSP)
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.RETURNING)
    told = [json.loads(line) for line in run("retry_give_up", "--all", "--json").splitlines()]
    assert {each["order"]: each["outcome"] for each in told} == {
        str(fine.pk): "retried",
        str(lost.pk): "not retried: The Lightning payment is not held any more.",
    }


def test_an_orders_whole_story_is_told_to_machines() -> None:
    order = OrderFactory(give_up=True, flagged=True)
    noting.write(order.pk, "Ask him.", actor=actors.staff("ada"))
    told = json.loads(run("order", str(order.pk)[:8], "--json"))
    assert (told["id"], told["state"], told["flags"]) == (str(order.pk), "give_up", ["other"])
    assert told["waits"].startswith("for a retry until")
    assert [each["failure_reason"] for each in told["attempts"]] == ["PEER_NOT_REACHABLE"]
    [event] = told["journal"]
    assert (event["actor"], event["cause"], event["facts"]) == ("staff:ada", "noted", {"note": "Ask him."})
