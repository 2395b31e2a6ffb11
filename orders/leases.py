"""How long a channel is promised: the rule that nobody closes it before, and which orders' time is over or ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from orders.models import ChannelOrder
from orders.states import OrderState

#: Whose lease ends so soon is told to staff.
SOON: Final = timedelta(days=7)


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
