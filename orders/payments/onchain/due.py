"""What of an order's deposits is the buyer's again, by our records."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Sum

from orders import money
from orders.causes import BY_DECISION, Cause
from orders.models import ChannelOrder, OnchainPayment, Refund
from orders.models.order import Rail
from orders.payments import surplus
from orders.payments.surplus import DUST_SAT, LEAST_SAT
from orders.payments.surplus import refunded_sat as _refunded_sat
from orders.states import SENT_REFUNDS, At, DepositState, InvoiceState, OrderState

__all__ = ["DUST_SAT", "LEAST_SAT"]

#: Nothing more can come of them.
_OVER: Final = frozenset({OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})
_WAITS: Final = frozenset({InvoiceState.HELD, InvoiceState.RETURNING})
#: An attempt may yet begin, and add what is little to the channel.
_UNOPENED: Final = frozenset({OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP})
#: So many deposits go back in one transaction: with more of them nodes would not relay it for long, and to sign it
#: would take the node's time.
MOST_DEPOSITS: Final = 500


def sat(order: ChannelOrder, now: datetime, *, besides: Refund | None = None) -> int:
    """What is to go back and is in no refund (but this one); below 0: a deposit vanished after it had gone back.

    Money: only of deposits that no reorganisation takes back, and never what may yet buy the channel.
    """
    came_sat = _came_sat(order) + lightning_surplus_sat(order)
    if not came_sat or order.state == OrderState.CREATED or _other_payment_is_open(order):
        return 0
    ends = is_over(order, now)
    if not ends and order.state in _UNOPENED and surplus.small_sat(order, besides=besides):
        return 0
    kept_sat = 0 if ends or order.counted_payment != Rail.ONCHAIN else money.owed_sat(order)
    return came_sat - kept_sat - _refunded_sat(order, besides) - _returned_by_hand_sat(order)


def next_sat(order: ChannelOrder, now: datetime, *, besides: Refund | None = None) -> int:
    """What of that one transaction can bring: where there are very many deposits, the largest go first."""
    rows = list(order.onchain_payments.all())
    if len(rows) <= MOST_DEPOSITS:
        return sat(order, now, besides=besides)
    spent = _spent(order)
    left = sorted((_final_sat(order, row) for row in rows if str(row) not in spent), reverse=True)
    return min(sat(order, now, besides=besides), sum(left[:MOST_DEPOSITS]))


def least_sat(order: ChannelOrder, now: datetime) -> int:
    """What is less is not sent: it would not be relayed; and of a surplus most would be spent on its fee."""
    return LEAST_SAT if is_over(order, now) else surplus.worth_sat(order)


def is_over(order: ChannelOrder, now: datetime) -> bool:
    """What was paid on chain buys nothing any more: the order has ended, or its time is over."""
    if order.state == OrderState.GIVE_UP:
        return order.give_up_until is None or order.give_up_until <= now
    if order.state == OrderState.PAID:
        return order.claim_expires_at is not None and order.claim_expires_at <= now
    return order.state in _OVER


def ends(order: ChannelOrder, now: datetime) -> bool:
    """With what is due nothing that has paid for the order stays with us, and it is refunded.

    A settled Lightning payment is not in what is due: it goes back by a person's word alone.
    """
    invoice = order.invoice if order.counted_payment == Rail.LIGHTNING else None
    return is_over(order, now) and (invoice is None or invoice.state != InvoiceState.SETTLED)


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
    return max(0, invoice.held_sat - money.owed_sat(order))


def _came_sat(order: ChannelOrder) -> int:
    return sum(_final_sat(order, row) for row in order.onchain_payments.all())


def _final_sat(order: ChannelOrder, row: OnchainPayment) -> int:
    height = order.lsp_node.deposits_height or 0
    return row.received_sat(At.DEEP, height=height, depth=settings.FINAL_DEPTH_BLOCKS)


def _spent(order: ChannelOrder) -> set[str]:
    """The outpoints that are in refunds that were signed."""
    sent = order.refunds.filter(state__in=SENT_REFUNDS).values_list("transaction__inputs", flat=True)
    return {str(coin[0]) for inputs in sent for coin in inputs}


def _other_payment_is_open(order: ChannelOrder) -> bool:
    """While it may still go back, nobody knows which of two payments buys the channel."""
    is_lightning = order.counted_payment == Rail.LIGHTNING
    return is_lightning and order.invoice is not None and order.invoice.state in _WAITS


def _returned_by_hand_sat(order: ChannelOrder) -> int:
    """What staff say they have returned: all that was there, the surplus of a settled invoice too, less what had gone
    back by itself.

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
    came_sat = sum(row.amount_sat for row in there if row.txid in before) + lightning_surplus_sat(order)
    return max(0, came_sat - by_itself_sat)
