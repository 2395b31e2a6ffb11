"""What of an order's deposits is the buyer's again, by our records."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Sum

from orders import money
from orders.causes import Cause
from orders.models import ChannelOrder, Refund
from orders.models.order import Rail
from orders.states import SENT_REFUNDS, At, DepositState, InvoiceState, OrderState, RefundState

#: Nothing more can come of them.
_OVER: Final = frozenset({OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})
_WAITS: Final = frozenset({InvoiceState.HELD, InvoiceState.RETURNING})
#: Why money goes back that had bought something, by a person's word: no part of what is due by itself.
BY_DECISION: Final = frozenset({Cause.CLOSED_UNUSED, Cause.CLOSED_EARLY, Cause.NOT_DELIVERED})
#: What is less than this, when it is sent at the lowest fee, is not relayed (and no wallet would spend it).
DUST_SAT: Final = 546
LEAST_SAT: Final = DUST_SAT + 200


def sat(order: ChannelOrder, now: datetime, *, besides: Refund | None = None) -> int:
    """What is to go back and is in no refund (but this one); below 0: a deposit vanished after it had gone back.

    Money: only of deposits that no reorganisation takes back, and never what may yet buy the channel.
    """
    came_sat = _came_sat(order) + lightning_surplus_sat(order)
    if not came_sat or order.state == OrderState.CREATED or _other_payment_is_open(order):
        return 0
    kept_sat = 0 if is_over(order, now) or order.counted_payment != Rail.ONCHAIN else order.order_total_sat
    return came_sat - kept_sat - _refunded_sat(order, besides) - _returned_by_hand_sat(order)


def is_over(order: ChannelOrder, now: datetime) -> bool:
    """What was paid on chain buys nothing any more: the order has ended, or its time is over."""
    if order.state == OrderState.GIVE_UP:
        return order.give_up_until is None or order.give_up_until <= now
    if order.state == OrderState.PAID:
        return order.claim_expires_at is not None and order.claim_expires_at <= now
    return order.state in _OVER


def is_possible(order: ChannelOrder) -> bool:
    """Something came that may have to go back on chain: of most orders nothing ever does, and nobody is asked."""
    return money.may_go_back(order)


def live(order: ChannelOrder) -> Refund | None:
    """The order's refund that is not over."""
    if not is_possible(order):
        return None
    return next((refund for refund in order.refunds.all() if refund.is_live), None)


def awaits_depth(order: ChannelOrder) -> bool:
    """Some of its deposits are in blocks and not final yet: what of them is the buyer's is decided when they are.

    One that is in no block is looked at when it comes into one.
    """
    if order.state == OrderState.CREATED:
        return False
    height = order.lsp_node.deposits_height or 0
    rows = [row for row in order.onchain_payments.all() if row.state == DepositState.CONFIRMED]
    return any(row.depth(height) < settings.FINAL_DEPTH_BLOCKS for row in rows)


def lightning_surplus_sat(order: ChannelOrder) -> int:
    """What a hold invoice brought beyond its price, once it is ours: LND takes up to double of it."""
    invoice = order.invoice
    if order.counted_payment != Rail.LIGHTNING or invoice is None or invoice.state != InvoiceState.SETTLED:
        return 0
    return max(0, invoice.held_sat - order.order_total_sat)


def _came_sat(order: ChannelOrder) -> int:
    rows = order.onchain_payments.all()
    height = order.lsp_node.deposits_height or 0
    return sum(row.received_sat(At.DEEP, height=height, depth=settings.FINAL_DEPTH_BLOCKS) for row in rows)


def _other_payment_is_open(order: ChannelOrder) -> bool:
    """While it may still go back, nobody knows which of two payments buys the channel."""
    is_lightning = order.counted_payment == Rail.LIGHTNING
    return is_lightning and order.invoice is not None and order.invoice.state in _WAITS


def _refunded_sat(order: ChannelOrder, besides: Refund | None) -> int:
    refunds = order.refunds.exclude(state=RefundState.WITHDRAWN).exclude(cause__in=BY_DECISION)
    if besides is not None:
        refunds = refunds.exclude(pk=besides.pk)
    return refunds.aggregate(sum=Sum("amount_sat"))["sum"] or 0


def _returned_by_hand_sat(order: ChannelOrder) -> int:
    """What staff say they have returned: all that was there, less what had gone back by itself.

    What was only due, or kept, had not.
    """
    returned = order.events.filter(cause=Cause.RETURNED_BY_HAND, to_state=OrderState.REFUNDED).first()
    if returned is None:
        return 0
    seen = order.events.filter(cause=Cause.DEPOSIT_SEEN, version__lt=returned.version)
    before = set(seen.values_list("facts__txid", flat=True))
    there = [row for row in order.onchain_payments.all() if row.state != DepositState.VANISHED]
    by_itself = order.refunds.filter(created_at__lt=returned.at, state__in=SENT_REFUNDS).exclude(cause__in=BY_DECISION)
    by_itself_sat = by_itself.aggregate(sum=Sum("amount_sat"))["sum"] or 0
    return max(0, sum(row.amount_sat for row in there if row.txid in before) - by_itself_sat)
