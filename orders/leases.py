"""How long a channel is promised: the rule that nobody closes it before, and which orders' time is over or ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from orders import blocks
from orders.models import ChannelOrder
from orders.states import InvoiceState, OrderState

#: Whose lease ends so soon is told to staff.
SOON: Final = timedelta(days=7)
#: So long a channel is promised that opened for a payment which its buyer did not take, or not all of our fee of it.
_UNPAID_BLOCKS: Final = 144


def reckon(order: ChannelOrder) -> None:
    """When the lease ends is as its start, and what was sold and given, have it; nothing where it has no start."""
    height, at = order.lease_starts_height, order.lease_starts_at
    term = _sold_blocks(order) + order.lease_gift_blocks
    order.lease_ends_height = height + term if height else None
    order.lease_ends_at = at + blocks.lasting(term) if at else None


def _sold_blocks(order: ChannelOrder) -> int:
    """What nobody has paid for is promised for a day, whose coins would else lie in it for as long as was on offer."""
    is_unpaid = order.is_jit and _is_unpaid(order)
    return min(order.channel_expiry_blocks, _UNPAID_BLOCKS) if is_unpaid else order.channel_expiry_blocks


def _is_unpaid(order: ChannelOrder) -> bool:
    """Its payment has come to its end, and our fee is not all there: else a satoshi would buy all that was on offer."""
    invoice = order.hold_invoice
    if invoice.state == InvoiceState.SETTLED:
        return invoice.held_sat < order.order_total_sat
    return invoice.state == InvoiceState.CANCELLED


def is_over(order: ChannelOrder, *, height: int, now: datetime) -> bool:
    """Both the blocks that were promised and the time that the buyer was told are over.

    Blocks come faster and slower than every ten minutes: neither of the two may be a surprise to him.
    """
    if order.lease_ends_height is None or order.lease_ends_at is None:
        return False
    return height >= order.lease_ends_height and now >= order.lease_ends_at


def ended(*, height: int, now: datetime) -> Q:
    """Open channels whose lease is over, by the same rule."""
    return Q(state=OrderState.OPEN, lease_ends_height__lte=height, lease_ends_at__lte=now)


def ending(*, height: int, now: datetime) -> Q:
    """Open channels whose lease ends within a week, and is not over."""
    open_until_soon = Q(state=OrderState.OPEN, lease_ends_at__lte=now + SOON)
    return open_until_soon & ~Q(lease_ends_height__lte=height, lease_ends_at__lte=now)


def left_blocks(order: ChannelOrder, height: int) -> int:
    """How many of the blocks that were promised had still to come at this height."""
    return max(0, (order.lease_ends_height or 0) - height)
