"""What came beyond the price, and is too little to be sent back: it goes into the buyer's own side of the channel."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Sum

from orders import ceilings, money, pricing
from orders.admission import placing
from orders.causes import BY_DECISION
from orders.models import ChannelOpening, ChannelOrder, Refund
from orders.models.order import Rail
from orders.states import At, InvoiceState, OpeningState, RefundState

#: What is less than this, when it is sent at the lowest fee, is not relayed (and no wallet would spend it).
DUST_SAT: Final = 546
LEAST_SAT: Final = DUST_SAT + 200
#: As SMALL_SURPLUS says it.
PUSH: Final = "push"
#: They say nothing of a channel that was larger by a surplus: the next attempt may be as large.
_SAYS_NOTHING: Final = frozenset({"PEER_NOT_REACHABLE", "PEER_TOO_MANY_PENDING_CHANNELS", "LSP_BUSY"})
_SAYS_NOTHING_OF_IT: Final = _SAYS_NOTHING | {"NODE_NOT_READY", "PAYMENT_NOT_SECURED"}


def worth_sat(order: ChannelOrder) -> int:
    """A surplus of so much is worth sending: what that costs, at the order's own rate, is half of it at most."""
    cost_sat = pricing.chain_fee_sat(pricing.REFUND_VBYTES, order.quoted_sat_per_kw)
    return max(LEAST_SAT, 2 * cost_sat, cost_sat + DUST_SAT)


def refunded_sat(order: ChannelOrder, besides: Refund | None = None) -> int:
    """What went back, is to go back, or is kept, but in this one; what a person decided about had bought something."""
    refunds = order.refunds.exclude(state=RefundState.WITHDRAWN).exclude(cause__in=BY_DECISION)
    if besides is not None:
        refunds = refunds.exclude(pk=besides.pk)
    return refunds.aggregate(sum=Sum("amount_sat"))["sum"] or 0


def small_sat(order: ChannelOrder, *, besides: Refund | None = None) -> int:
    """What an attempt that begins now may add to the channel, by our records alone: all of a small surplus, or nothing.

    Money: only of the payment that counts, while it is as secured as its price must be. By Lightning all of it that
    could not go back on chain, since the node returns no part of what it holds.
    """
    if settings.SMALL_SURPLUS != PUSH or order.on_credit:
        return 0
    if order.counted_payment == Rail.ONCHAIN:
        over_sat = money.of(order, At.DEEP, rail=Rail.ONCHAIN).received_sat - order.order_total_sat
        over_sat -= refunded_sat(order, besides) if over_sat > 0 else 0
        goes_back = over_sat >= worth_sat(order)
    else:
        invoice = order.invoice
        is_held = invoice is not None and invoice.state == InvoiceState.HELD
        over_sat = invoice.held_sat - order.order_total_sat if invoice is not None and is_held else 0
        goes_back = over_sat >= worth_sat(order) and bool(order.refund_address)
    return over_sat if over_sat > 0 and not goes_back and _fits(order, over_sat) else 0


def to_add_sat(order: ChannelOrder) -> int:
    """What the attempt that is recorded next adds to capacity and push. The caller holds the order's row.

    Channel and node may be so large, and our coins have room for it, which stays so until the transaction ends.
    """
    more_sat = small_sat(order)
    if not more_sat or not ceilings.allow_more(order, more_sat):
        return 0
    placing.counting()
    return more_sat if placing.may_grow(order, more_sat) else 0


def _fits(order: ChannelOrder, more_sat: int) -> bool:
    """The service sells such a channel, and no attempt has failed for what was added to it."""
    limits = order.service.limits
    pushed_sat = order.client_balance_sat + more_sat
    is_sold = order.capacity_sat + more_sat <= limits.max_channel_sat and pushed_sat <= limits.max_client_balance_sat
    return is_sold and pushed_sat < order.lsp_balance_sat and not any(map(_was_too_much, order.openings.all()))


def _was_too_much(opening: ChannelOpening) -> bool:
    is_failed = opening.state == OpeningState.FAILED and bool(opening.surplus_sat)
    return is_failed and opening.failure_reason not in _SAYS_NOTHING_OF_IT
