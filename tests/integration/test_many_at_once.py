"""What staff do to many orders at once: seen first in orders and satoshis, and looked at again when it is done."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from orders import actors
from orders.admin import steering
from orders.models import ChannelOrder, HoldInvoice, OrderEvent, Refund
from orders.operations import ending, giving_up, noting
from orders.states import InvoiceState, OrderState, RefundState
from tests.booking import TOTAL
from tests.factories import DepositFactory, OrderFactory
from tests.fakes import regtest_address
from tests.integration.staff import LIST, browser, do, journal, seen, staff
from tests.integration.test_admin_deeds import sure
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db


def chosen(client: Client, deed: str, *orders: ChannelOrder, **more: Any) -> Any:
    """The page that shows what would be done."""
    return client.post(LIST, {"action": deed, "_selected_action": [order.pk for order in orders], **more})


def row(answer: Any, words: str) -> list[str]:
    """The numbers beside these words, in the table that counts."""
    table = answer.content.decode().partition('class="lsp-counted"')[2].partition("</table>")[0]
    for line in table.split("<tr"):
        if words.lower() in re.sub(r"<[^>]+>", " ", line).lower():
            return re.findall(r'class="lsp-amount">(?:<b>)?([\d,]*)', line)
    raise AssertionError(f"no row of {words!r}")


def given_up(**more: Any) -> ChannelOrder:
    return OrderFactory(give_up=True, **more)


def test_many_are_retried_after_they_were_counted_and_the_others_left_alone_with_their_reason(boss: Client) -> None:
    held = [given_up(), given_up()]
    onchain, over = given_up(counted_payment="onchain"), OrderFactory(open=True)
    lost = given_up()
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.CANCELLED)
    asked = chosen(boss, "retry", *held, onchain, over, lost)
    assert row(asked, "held by the node, and stays so") == ["2", f"{2 * TOTAL:,}"]
    assert row(asked, "Together")[0] == "3"
    assert row(asked, "The Lightning payment is not held any more.") == ["1"]
    assert row(asked, "The order is in state Open") == ["1"]
    assert not OrderEvent.objects.exists()
    told = seen(sure(boss, asked))
    assert "Will be tried again: " in told and "not " + str(lost.pk)[:8] not in told
    states = {order.pk: ChannelOrder.objects.get(pk=order.pk).state for order in (*held, onchain, over, lost)}
    assert [states[order.pk] for order in (*held, onchain)] == ["uri_set"] * 3
    assert (states[over.pk], states[lost.pk]) == ("open", "give_up")


def test_money_of_many_goes_back_each_in_its_way(boss: Client) -> None:
    held, onchain = given_up(), OrderFactory(paid_onchain=True, refund_address=regtest_address(3))
    proposed = OrderFactory(closed=True)
    RefundFactory(order=proposed, proposed=True, amount_sat=5_000, cause="closed_unused")
    kept = OrderFactory(expired=True)
    DepositFactory(order=kept, amount_sat=7_000)
    RefundFactory(order=kept, kept=True, amount_sat=7_000)
    unpaid, over = OrderFactory(), OrderFactory(open=True)
    asked = chosen(boss, "return_money", held, onchain, proposed, kept, unpaid, over)
    assert row(asked, "held by the node: back at once") == ["1", f"{TOTAL:,}"]
    assert row(asked, "on chain: back once it is final") == ["1", f"{TOTAL:,}"]
    assert row(asked, "proposed: back once an address is known") == ["1", "5,000"]
    assert row(asked, "kept: back once an address is known") == ["1", "7,000"]
    assert row(asked, "Together") == ["4", f"{2 * TOTAL + 12_000:,}"]
    sure(boss, asked)
    assert HoldInvoice.objects.get(order=held).state == InvoiceState.RETURNING
    assert ChannelOrder.objects.get(pk=onchain.pk).state == OrderState.REJECTED
    assert {refund.state for refund in Refund.objects.filter(order__in=[proposed, kept])} == {RefundState.DUE}
    assert ChannelOrder.objects.get(pk=unpaid.pk).state == OrderState.CREATED
    assert journal(unpaid) == journal(over) == []
    for order in (held, onchain, proposed, kept):
        assert "staff:alice" in {actor for _, actor in journal(order)}


def settled(proposed: bool) -> ChannelOrder:
    """Given up, though its Lightning payment is ours."""
    order = given_up(invoice__state=InvoiceState.SETTLED, invoice__settled_at=timezone.now())
    if proposed:
        Refund.objects.create(
            order=order, state=RefundState.PROPOSED, amount_sat=TOTAL, ends_order=True, cause="not_delivered",
            created_at=order.created_at,
        )  # fmt: skip
    return order


def test_what_is_proposed_for_an_order_that_was_given_up_is_granted_and_not_cancelled_and_left_proposed(
    boss: Client,
) -> None:
    orders = [settled(proposed=True), settled(proposed=True)]
    asked = chosen(boss, "return_money", *orders)
    assert row(asked, "proposed: back once an address is known") == ["2", f"{2 * TOTAL:,}"]
    assert "of our money go to the buyer on chain" in seen(chosen(boss, "return_money", orders[0]))
    sure(boss, asked)
    assert {refund.state for refund in Refund.objects.all()} == {RefundState.DUE}
    states = {ChannelOrder.objects.get(pk=order.pk).state for order in orders}
    assert states == {OrderState.GIVE_UP}, "refunded once that was sent"


def test_who_cancels_a_settled_lightning_payment_reads_that_somebody_has_to_grant_it(boss: Client) -> None:
    order, other = settled(proposed=False), settled(proposed=False)
    for deed in ("cancel", "return_money"):
        asked = chosen(boss, deed, order, other)
        assert row(asked, "is proposed, somebody has to grant it")[0] == "2"
    words = f"{TOTAL:,} sat are proposed to go back to the buyer on chain: somebody has to grant it."
    assert words in do(boss, "cancel", order)
    sure(boss, asked)
    assert [refund.state for refund in Refund.objects.all()] == [RefundState.PROPOSED] * 2
    claimed = OrderFactory(uri_set=True, invoice__state=InvoiceState.SETTLED, invoice__settled_at=timezone.now())
    assert "for a retry, and then are proposed to go back" in do(boss, "give_up", claimed)


def test_an_order_to_which_something_has_happened_since_is_left_alone_and_said_so(boss: Client) -> None:
    moved, same = given_up(), given_up()
    asked = chosen(boss, "return_money", moved, same)
    giving_up.retry(moved.pk, actor=actors.staff("ben"))
    told = seen(sure(boss, asked))
    assert f"not {str(moved.pk)[:8]}: Something has happened to it since you were asked" in told
    assert ChannelOrder.objects.get(pk=moved.pk).state == OrderState.URI_SET, "ben lets it be tried again"
    assert HoldInvoice.objects.get(order=moved).state == InvoiceState.HELD
    assert HoldInvoice.objects.get(order=same).state == InvoiceState.RETURNING


def test_so_is_one_that_came_back_to_the_same_state(boss: Client) -> None:
    order = given_up()
    asked = chosen(boss, "retry", order)
    giving_up.retry(order.pk, actor=actors.staff("ben"))
    giving_up.give_up(order.pk, reason="PEER_POLICY", actor=actors.staff("ben"))
    assert "Something has happened to it" in seen(sure(boss, asked))
    assert ChannelOrder.objects.get(pk=order.pk).state == OrderState.GIVE_UP


def test_what_moves_while_it_is_done_is_stopped_by_the_operations_own_guard(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = given_up()
    asked = chosen(boss, "retry", order)
    monkeypatch.setattr("orders.admin.deeds._version", lambda order_id: order.version)
    ending.cancel(order.pk, actor=actors.staff("ben"))
    assert "Retry: not" in seen(sure(boss, asked))
    assert ChannelOrder.objects.get(pk=order.pk).state == OrderState.GIVE_UP


def test_a_note_is_taken_whatever_has_happened_meanwhile(boss: Client) -> None:
    order = given_up()
    noting.write(order.pk, "first", actor=actors.staff("ben"))
    boss.post(f"{LIST}steer/", {"deed": "note", "order": order.pk, "shown": f"{order.pk}:1", "typed": "second"})
    assert [event.facts["note"] for event in OrderEvent.objects.filter(order=order)] == ["first", "second"]


def test_no_more_are_done_at_once_than_a_request_has_time_for_and_the_rest_is_counted(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "MOST_AT_ONCE", 2)
    orders = [given_up() for _ in range(5)]
    asked = chosen(boss, "retry", orders[0], select_across="1")
    assert row(asked, "Together") == ["2", f"{2 * TOTAL:,}"]
    assert "3 more were chosen." in seen(asked)
    sure(boss, asked)
    assert [ChannelOrder.objects.get(pk=order.pk).state for order in orders] == ["uri_set"] * 2 + ["give_up"] * 3


@pytest.mark.parametrize("shown", ["", "x", "x:1", "{pk}", "{pk}:", "{pk}:-1"])
def test_a_form_without_what_was_shown_is_still_held_to_the_operations_guard(boss: Client, shown: str) -> None:
    order = OrderFactory(open=True)
    form = {"deed": "retry", "order": order.pk, "sure": "yes", "shown": shown.replace("{pk}", str(order.pk))}
    assert "Retry: not" in seen(boss.post(f"{LIST}steer/", form, follow=True))


def test_who_may_only_look_is_offered_none_of_it() -> None:
    order = given_up()
    reader = browser(staff("rita", "view_channelorder"))
    assert "return_money" not in reader.get(LIST).content.decode()
    chosen(reader, "return_money", order)
    assert journal(order) == []


def test_marking_many_as_seen_moves_no_money_and_asks_nothing(boss: Client) -> None:
    orders = [OrderFactory(open=True, flagged=True) for _ in range(2)]
    assert "Marked as seen: " in seen(
        boss.post(LIST, {"action": "settle_flag", "_selected_action": [o.pk for o in orders]}, follow=True)
    )


def test_the_preview_asks_the_database_no_more_for_many_orders(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    few = [given_up(counted_payment="onchain") for _ in range(2)]
    with django_assert_max_num_queries(40) as asked:
        chosen(boss, "cancel", *few)
    many = [given_up(counted_payment="onchain") for _ in range(6)]
    with django_assert_max_num_queries(len(asked.captured_queries) + 4 * 3):
        chosen(boss, "cancel", *many)
