"""Refunds that were proposed, surpluses and credit of one order: nothing goes back twice, or beside its channel."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders import actors, keys, queries
from orders.causes import Cause
from orders.errors import NotClaimable, NotPossible
from orders.models import ChannelOrder, Refund
from orders.operations import claiming, deciding, ending, giving_up
from orders.payments import onchain, security, surplus
from orders.payments.onchain import refunding
from orders.states import DepositState, InvoiceState, RefundState
from orders.transitions import locked
from tests.booking import FEE, TOTAL, balances, carry
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory, TransactionFactory, pubkey
from tests.fakes import regtest_address

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")
MUCH_SAT = 20_000


@pytest.fixture(autouse=True)
def a_node_that_was_seen() -> None:
    SnapshotFactory()


def settled(more_sat: int = 0, **fields: Any) -> ChannelOrder:
    """Its Lightning payment is ours, and no channel came of it."""
    kind = fields or {"give_up": True}
    held = {"state": InvoiceState.SETTLED, "held_sat": TOTAL + more_sat, "held_at": timezone.now()}
    order: ChannelOrder = OrderFactory(**kind, **{f"invoice__{name}": value for name, value in held.items()})
    return order


def on_its_way(order: ChannelOrder) -> Refund:
    """What staff have granted is published, and in no block yet."""
    sends = TransactionFactory(kind="refund", label=f"refund:{order.pk}:1", lock_id=b"r" * 32)
    return Refund.objects.create(
        order=order, state=RefundState.PUBLISHED, amount_sat=TOTAL, ends_order=True, cause=Cause.NOT_DELIVERED,
        address=regtest_address(3), fee_sat=300, transaction=sends, created_at=timezone.now(),
    )  # fmt: skip


def fresh(order: ChannelOrder) -> ChannelOrder:
    return queries.order_or_raise(order.pk)


def claim(order: ChannelOrder) -> ChannelOrder:
    buyer = actors.buyer(order.pk, keys.order_token(order.pk))
    return claiming.claim(order.pk, NodeAddress(pubkey(77), "203.0.113.9:9735"), announced=None, actor=buyer)


# The channel, and its price back


def test_whose_price_is_on_its_way_back_gets_no_channel_for_it_by_another_claim() -> None:
    order = settled()
    on_its_way(order)
    with pytest.raises(NotClaimable):
        claim(order)


def test_what_is_on_its_way_back_is_not_tried_again_by_staff() -> None:
    order = settled()
    on_its_way(order)
    with pytest.raises(NotPossible):
        giving_up.retry(order.pk, actor=ADA)


def test_even_a_claimed_order_opens_nothing_while_its_price_goes_back() -> None:
    """As a database has it whose refund and claim came in another order."""
    order = settled(uri_set=True)
    on_its_way(order)
    assert onchain.live_refund(fresh(order)) is not None
    assert security.insecurity(fresh(order)) and onchain.is_going_back(fresh(order))


def test_control_what_is_only_granted_and_goes_nowhere_yet_may_buy_the_channel_after_all() -> None:
    order = settled(uri_set=True)
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=ADA)
    deciding.grant(order.pk, actor=ADA)
    claim(order)
    assert Refund.objects.get().state == RefundState.WITHDRAWN


# Twice


def test_what_was_granted_is_not_proposed_once_more_when_the_order_is_cancelled() -> None:
    order = settled(uri_set=True)
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=ADA)
    deciding.grant(order.pk, actor=ADA)
    ending.cancel(order.pk, actor=ADA)
    assert Refund.objects.get().state == RefundState.DUE


def test_what_staff_returned_by_hand_had_the_surplus_in_it_and_that_is_not_sent_again() -> None:
    order = settled(MUCH_SAT)
    carry()
    onchain.intend_refund(order.pk)
    ending.record_returned(order.pk, actor=ADA)
    assert onchain.due_sat(fresh(order), timezone.now()) <= 0
    assert onchain.intend_refund(order.pk) is None
    assert balances(order) == {"lightning": TOTAL + MUCH_SAT, "refunded": -TOTAL - MUCH_SAT}


def test_control_a_surplus_that_had_gone_back_by_itself_is_not_taken_from_what_comes_later() -> None:
    order = settled(MUCH_SAT)
    Refund.objects.filter(pk=on_its_way(order).pk).update(
        amount_sat=MUCH_SAT, ends_order=False, cause=Cause.SURPLUS, state=RefundState.DONE
    )
    ending.record_returned(order.pk, actor=ADA)
    DepositFactory(order=order, amount_sat=9_000, block_height=700, confirmations=99)
    assert onchain.due_sat(fresh(order), timezone.now()) == 9_000


def test_the_books_of_an_older_shop_have_the_surplus_among_what_was_returned_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = settled(MUCH_SAT)
    monkeypatch.setattr("orders.books.returned_by_hand", lambda order: None)
    ending.record_returned(order.pk, actor=ADA)
    carry()
    assert balances(order) == {"lightning": TOTAL + MUCH_SAT, "refunded": -TOTAL - MUCH_SAT}


# In silence


@pytest.mark.parametrize("more_sat", [0, MUCH_SAT])
def test_an_order_whose_price_is_with_us_is_not_called_refunded_for_what_came_besides(more_sat: int) -> None:
    """Nobody would be told any more that the price is to be returned."""
    order = settled(more_sat, rejected=True, counted_payment="lightning", refund_address=regtest_address(5))
    if not more_sat:
        DepositFactory(order=order, amount_sat=MUCH_SAT, block_height=700, confirmations=99)
    refund = onchain.intend_refund(order.pk)
    assert refund is not None
    assert (refund.amount_sat, refund.ends_order, refund.cause) == (MUCH_SAT, False, Cause.SURPLUS)


def test_what_was_to_call_it_refunded_before_an_upgrade_is_recorded_anew() -> None:
    order = settled(MUCH_SAT, rejected=True, counted_payment="lightning", refund_address=regtest_address(5))
    before = Refund.objects.create(
        order=order, amount_sat=MUCH_SAT, ends_order=True, cause=Cause.CANCELLED, created_at=timezone.now()
    )
    with locked(order.pk) as held:
        assert refunding.withdraw_if_owed(held, timezone.now())
    before.refresh_from_db()
    assert before.state == RefundState.WITHDRAWN and onchain.intend_refund(order.pk) is not None


# Of what is not there


def test_a_refund_is_not_granted_out_of_a_deposit_that_is_gone_or_not_deep(settings: Any) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 3
    order = OrderFactory(closed=True, counted_payment="onchain", deposits__confirmations=99)
    Refund.objects.create(
        order=order, state=RefundState.PROPOSED, amount_sat=FEE, ends_order=False, cause=Cause.CLOSED_UNUSED,
        created_at=timezone.now(),
    )  # fmt: skip
    assert not deciding.why_not_granted(fresh(order))
    order.onchain_payments.update(block_height=800, confirmations=1)
    assert deciding.why_not_granted(fresh(order))
    order.onchain_payments.update(state=DepositState.VANISHED, block_height=None, confirmations=0)
    with pytest.raises(NotPossible):
        deciding.grant(order.pk, actor=ADA)


def test_while_an_order_is_on_credit_nothing_is_added_to_its_channel() -> None:
    order = OrderFactory(paid_onchain=True, deposits__amount_sat=TOTAL + 900, deposits__confirmations=99)
    assert surplus.small_sat(fresh(order)) == 900
    ChannelOrder.objects.update(on_credit=True)
    assert surplus.small_sat(fresh(order)) == 0
