"""A lease is made longer, as a gift. Nothing makes one shorter."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from orders import blocks, queries
from orders.actors import Authority, Kind, open_to
from orders.causes import Cause
from orders.errors import InvalidField, NotPossible
from orders.models import ChannelOrder
from orders.operations import closing
from orders.operations.refunding import read_reason
from orders.states import OrderState
from orders.transitions import locked, note

DAYS: Final = "days"
MOST_DAYS: Final = 730
_BLOCKS_A_DAY: Final = blocks.WEEK // 7
#: Together, however many gifts: ten years.
_MOST_BLOCKS: Final = 3_650 * _BLOCKS_A_DAY


@open_to(Kind.STAFF, Kind.COMMAND)
def extend(order_id: UUID, *, days: int, reason: str, actor: Authority) -> ChannelOrder:
    """The channel is promised for so many days (of 144 blocks) more; a close that waits is taken back.

    Money: none moves. Repeat: not safe, each is a gift of its own.
    Raises: OrderNotFound, InvalidField, NotPossible (no channel, or its close has begun).
    """
    reason = read_reason(reason)
    if not 1 <= days <= MOST_DAYS:
        raise InvalidField(f"From 1 to {MOST_DAYS} days are given at a time.", field=DAYS)
    given = days * _BLOCKS_A_DAY
    with locked(order_id) as order:
        why = why_not_extended(order)
        if not why and order.lease_gift_blocks + given > _MOST_BLOCKS:
            why = "It was given ten years already."
        if why:
            raise NotPossible(why)
        order.lease_gift_blocks += given
        if order.lease_ends_height is not None and order.lease_ends_at is not None:
            order.lease_ends_height += given
            order.lease_ends_at += blocks.lasting(given)
        note(order, Cause.LEASE_EXTENDED, actor=actor, days=days, reason=reason, ends_height=order.lease_ends_height)
        closing.take_back(order, "Its lease was extended.", actor=actor)
    return order


def why_not_extended(order: ChannelOrder) -> str:
    """Why the lease of the order cannot be extended now; "" when it can."""
    if order.state not in {OrderState.OPENING, OrderState.OPEN}:
        return "It has no channel that is promised."
    wanted = queries.live_closing(order)
    return "The node may have begun to close its channel." if wanted is not None and wanted.may_have_begun else ""


def read_days(text: str) -> int:
    """The days that were typed. Raises: InvalidField."""
    text = text.strip()
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MOST_DAYS)) or not 1 <= int(text) <= MOST_DAYS:
        raise InvalidField(f"A whole number from 1 to {MOST_DAYS} is required.", field=DAYS)
    return int(text)
