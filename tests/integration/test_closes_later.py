"""What becomes of a closed channel's case when its payment comes later, or when there never was a channel."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from lightning.types import NodeInvoiceState
from orders import actors, flags, queries
from orders.advance import advance
from orders.books import recounting
from orders.causes import Cause, FlagKind
from orders.models import ChannelOrder, Credit, HoldInvoice, OnchainPayment, Refund, WalletTransaction
from orders.openings import cancelling
from orders.operations import deciding
from orders.payments import onchain
from orders.states import DepositState, InvoiceState, OpeningState, OrderState, RefundState, TransactionState
from tests.booking import TOTAL, balances, carry
from tests.closed import Closing, closed, standing, unused
from tests.factories import OrderFactory, SnapshotFactory
from tests.scripted import held

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")


@pytest.fixture
def node() -> Closing:
    SnapshotFactory()
    return Closing()


def look(order: ChannelOrder, node: Closing) -> ChannelOrder:
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def adds_up() -> bool:
    return recounting.differences() == ([], 0) and not recounting.unbalanced()


def refunds(order: ChannelOrder) -> list[tuple[str, str, int]]:
    return [(row.state, row.cause, row.amount_sat) for row in order.refunds.all()]


# Its payment comes later


def onchain_order(state: OpeningState = OpeningState.CONFIRMED, **fields: Any) -> ChannelOrder:
    deep = {"deposits__confirmations": 99, "deposits__block_height": 700}
    order = unused(counted_payment="onchain", invoice__state=InvoiceState.CANCELLED, **{**deep, **fields})
    order.openings.update(state=state)
    if state == OpeningState.PUBLISHED:
        WalletTransaction.objects.update(state=TransactionState.PUBLISHED)
    return queries.order_or_raise(order.pk)


@pytest.mark.parametrize("how", [DepositState.VANISHED, DepositState.SEEN])
def test_a_deposit_that_was_gone_when_the_channel_closed_and_is_in_a_block_since_is_proposed_to_go_back(
    node: Closing, how: str
) -> None:
    order = onchain_order()
    OnchainPayment.objects.update(state=how, block_height=None, confirmations=0)
    order, rows = closed(node, order, "local_force_close", True)
    assert not rows and standing(order) == [FlagKind.CLOSED_UNUSED]
    OnchainPayment.objects.update(state=DepositState.CONFIRMED, block_height=799, confirmations=2)
    order = look(order, node)
    assert refunds(order) == [(RefundState.PROPOSED, Cause.CLOSED_UNUSED, order.fee_total_sat)]
    assert "(by us): a refund of" in order.standing[0].words
    assert refunds(look(order, node)) == refunds(order)


def test_one_on_credit_that_was_replaced_when_it_closed_is_proposed_once_what_replaces_it_is_mined(
    node: Closing,
) -> None:
    order = onchain_order(on_credit=True)
    now = timezone.now()
    Credit.objects.create(order=order, amount_sat=order.order_total_sat, given_at=now, seen_at=now)
    OnchainPayment.objects.update(state=DepositState.VANISHED, block_height=None, confirmations=0)
    order, rows = closed(node, order, "remote_force_close", False)
    assert not rows
    ChannelOrder.objects.update(on_credit=False)
    OnchainPayment.objects.update(state=DepositState.CONFIRMED, block_height=799, confirmations=2)
    order = look(order, node)
    # as its peer closed it: less what the chain has cost
    assert refunds(order) == [(RefundState.PROPOSED, Cause.CLOSED_UNUSED, order.fee_total_sat - 2_220 - 1_900)]


def test_what_a_person_has_declined_is_not_proposed_again_by_a_later_look(node: Closing) -> None:
    order, _ = closed(node, onchain_order(), "local_force_close", True)
    deciding.decline(order.pk, reason="He has another.", actor=ADA)
    order = look(order, node)
    assert [row[0] for row in refunds(order)] == [RefundState.WITHDRAWN] and not standing(order)


def test_control_a_close_that_was_no_case_is_none_when_a_deposit_comes_later(node: Closing) -> None:
    order = OrderFactory(open=True, counted_payment="onchain", deposits__state=DepositState.SEEN)
    OnchainPayment.objects.update(block_height=None, confirmations=0)
    order, _ = closed(node, order, "cooperative_close", False)
    OnchainPayment.objects.update(state=DepositState.CONFIRMED, block_height=799, confirmations=2)
    assert not refunds(look(order, node))


# There never was a channel


def double_spent(order: ChannelOrder, node: Closing) -> ChannelOrder:
    """A stranger's spend of one of the funding's coins is deep."""
    assert cancelling.begin(order.pk, reason="FUNDING_CONFLICT", conflict_is_deep=True)
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def published(rail: str, **fields: Any) -> ChannelOrder:
    """Its funding is in no block yet; the books have what the rows say."""
    if rail == "onchain":
        order = onchain_order(OpeningState.PUBLISHED, **fields)
    else:
        order = OrderFactory(opening=True, invoice__state=InvoiceState.SETTLED, **fields)
    carry()
    assert adds_up()
    return order


@pytest.mark.parametrize(
    ("rail", "cause", "account"),
    [
        ("lightning", Cause.NOT_DELIVERED, "buyers_held"),
        ("onchain", Cause.FUNDING_CONFLICTED, "buyers_onchain"),
    ],
)
def test_of_a_channel_that_closed_and_never_was_the_whole_price_goes_back_and_is_no_loss(
    node: Closing, rail: str, cause: Cause, account: str
) -> None:
    order, _ = closed(node, published(rail), "abandoned", None)
    order = double_spent(order, node)
    assert refunds(order) == [
        (RefundState.WITHDRAWN, Cause.CLOSED_UNUSED, TOTAL),
        (RefundState.PROPOSED, cause, TOTAL),
    ]
    assert standing(order) == [FlagKind.DOUBLE_SPENT] and order.state == OrderState.CLOSED
    assert balances(order)[account] == -TOTAL and adds_up()
    deciding.grant(order.pk, actor=ADA)
    assert balances(order) == {_WHERE[rail]: TOTAL, "refunds_under_way": -TOTAL} and adds_up()
    assert standing(queries.order_or_raise(order.pk)) == [FlagKind.REFUND_NEEDED]


_WHERE = {"lightning": "lightning", "onchain": "wallet"}


@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.CLOSING])
def test_an_order_that_passed_for_open_says_that_its_channel_is_over(node: Closing, state: OrderState) -> None:
    order = published("lightning")
    ChannelOrder.objects.update(state=state, opened_at=timezone.now() if state == OrderState.OPEN else None)
    order = double_spent(order, node)
    assert order.state == OrderState.CLOSED and order.closed_at is not None
    assert refunds(order) == [(RefundState.PROPOSED, Cause.NOT_DELIVERED, TOTAL)]
    assert look(order, node).due_at is None


def test_what_was_declined_for_a_channel_is_proposed_anew_once_it_is_known_that_there_was_none(node: Closing) -> None:
    order, _ = closed(node, published("lightning"), "abandoned", None)
    deciding.decline(order.pk, reason="It is there, they say.", actor=ADA)
    order = double_spent(order, node)
    assert refunds(order)[-1] == (RefundState.PROPOSED, Cause.NOT_DELIVERED, TOTAL)
    deciding.decline(order.pk, reason="He was paid in cash.", actor=ADA)
    assert len(refunds(look(order, node))) == 2


def test_a_proposal_that_older_records_have_of_such_a_channel_gives_way_to_the_true_one(node: Closing) -> None:
    order, _ = closed(node, published("onchain"), "remote_force_close", False)
    order.openings.update(state=OpeningState.FAILED)
    order = look(order, node)
    assert [row[:2] for row in refunds(order)] == [
        (RefundState.WITHDRAWN, Cause.CLOSED_UNUSED),
        (RefundState.PROPOSED, Cause.FUNDING_CONFLICTED),
    ]


def test_a_payment_that_is_held_still_goes_back_by_itself_and_nobody_has_to_decide(node: Closing) -> None:
    order, _ = closed(node, published("lightning"), "abandoned", None)
    Refund.objects.all().delete()
    HoldInvoice.objects.update(state=InvoiceState.HELD)
    order = double_spent(order, node)
    assert HoldInvoice.objects.get().state == InvoiceState.RETURNING and not refunds(order)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.CANCELED)
    order = look(order, node)
    assert HoldInvoice.objects.get().state == InvoiceState.CANCELLED
    assert standing(order) == [FlagKind.DOUBLE_SPENT] and not refunds(order)


def test_what_was_taken_in_no_block_counts_no_more_and_is_proposed_once_it_is_mined(node: Closing) -> None:
    order = published("onchain", on_credit=True, deposits__state=DepositState.SEEN)
    now = timezone.now()
    Credit.objects.create(order=order, amount_sat=TOTAL, given_at=now, seen_at=now)
    OnchainPayment.objects.update(state=DepositState.VANISHED, block_height=None, confirmations=0)
    ChannelOrder.objects.update(state=OrderState.OPEN)
    order = double_spent(order, node)
    assert not refunds(order) and standing(order) == [FlagKind.DOUBLE_SPENT]
    order = look(order, node)
    assert not order.on_credit and Credit.objects.get().lost_at is None
    OnchainPayment.objects.update(state=DepositState.CONFIRMED, block_height=799, confirmations=2)
    assert refunds(look(order, node)) == [(RefundState.PROPOSED, Cause.FUNDING_CONFLICTED, TOTAL)]


# A surplus that was added


@pytest.mark.parametrize("ends", [OpeningState.PUBLISHED, OpeningState.CONFIRMED, OpeningState.FAILED])
def test_of_an_abandoned_channel_price_and_surplus_are_owed_whatever_becomes_of_its_funding(
    node: Closing, ends: OpeningState
) -> None:
    order = onchain_order(OpeningState.PUBLISHED)
    order.onchain_payments.update(amount_sat=TOTAL + 900)
    more = {name: F(name) + 900 for name in ("capacity_sat", "push_sat", "surplus_sat")}
    order.openings.update(**more)
    order, [refund] = closed(node, order, "abandoned", None)
    assert refund.amount_sat == TOTAL + 900
    if ends == OpeningState.FAILED:
        order = double_spent(order, node)
    proposed_sat = order.refunds.get(state=RefundState.PROPOSED).amount_sat
    by_itself_sat = onchain.due_sat(order, timezone.now())
    assert (proposed_sat, by_itself_sat) == ((TOTAL, 900) if ends == OpeningState.FAILED else (TOTAL + 900, 0))


def test_where_nothing_is_left_to_propose_a_person_is_told_once_and_not_at_each_look(node: Closing) -> None:
    order = onchain_order()
    WalletTransaction.objects.update(fee_sat=order.fee_total_sat)  # the chain has cost all of it
    order, rows = closed(node, order, "remote_force_close", False)
    assert not rows and standing(order) == [FlagKind.CLOSED_UNUSED]
    flags.mark_seen(order.pk, actor=ADA)
    assert not standing(look(order, node))
