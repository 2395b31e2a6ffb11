"""What a deed does to a channel and the money in it, in words: read before it is done."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from orders import blocks, leases, queries, story
from orders.models import ChannelOrder
from orders.story import sat, when

SECOND: Final = "Yes, without its peer: it costs more, and what is ours is locked for days."


def together(order: ChannelOrder, _: str) -> str:
    """Of a close with the peer."""
    own = "What is on our side comes back to our wallet, less the fee of one transaction"
    asked = f" ({sat(order.close_fee_sat)} were asked for that)" if order.close_fee_sat else ""
    theirs = "what is on the buyer's side is paid to him on chain"
    return f"{own}{asked}; {theirs}. While his node is away it waits, and is tried again. {_lease(order)}"


def forced(order: ChannelOrder, _: str) -> str:
    """Of a close without the peer."""
    own = "What is on our side comes back to our wallet once it is free, up to two weeks after its block, less the fees"
    return f"{own} of two transactions or more; the buyer gets his side on chain at once. {_lease(order)}"


def together_early(order: ChannelOrder, typed: str) -> str:
    """The same before the lease's end."""
    return f"{_promise(order)} {together(order, typed)}"


def forced_early(order: ChannelOrder, typed: str) -> str:
    """The same before the lease's end."""
    return f"{_promise(order)} {forced(order, typed)}"


def withdrawn(order: ChannelOrder, _: str) -> str:
    """Of a close that is taken back."""
    return "The channel stays open. No money moves."


def extended(order: ChannelOrder, typed: str) -> str:
    """Of a lease that becomes longer."""
    days, _, reason = typed.partition("\n")
    if not days.isdecimal() or order.lease_ends_at is None:
        return "The channel is promised for longer. No money moves: it is a gift."
    until = order.lease_ends_at + blocks.lasting(int(days) * blocks.WEEK // 7)
    return f"The channel is promised until {when(until)}. No money moves: it is a gift. The journal says why: {reason}"


def _lease(order: ChannelOrder) -> str:
    if order.lease_ends_at is None:
        return "Its lease has not begun."
    return f"Its lease {'ended' if _is_over(order) else 'ends'} at {when(order.lease_ends_at)}."


def _promise(order: ChannelOrder) -> str:
    """What breaking it means for the buyer's money."""
    paid, term = sat(order.fee_total_sat), story.term(order.channel_expiry_blocks)
    sold = f"The buyer has paid {paid} for this channel, for {term}"
    return f"{sold}: closed by us now, a refund of what he has not had is proposed, for a person to decide."


def _is_over(order: ChannelOrder) -> bool:
    seen = queries.snapshot()
    return seen is not None and leases.is_over(order, height=seen.block_height, now=timezone.now())
