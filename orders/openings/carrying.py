"""A channel that opens just in time, whose buyer trusts us: it carries its payment before its funding is published.

The point of no return is the payment taken: from then on money of the buyer's is in the channel, and its funding is
published whatever comes. Until then the channel is worth nothing to anybody, and may be left.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Channel, PendingPhase
from orders.models import ChannelOpening, ChannelOrder
from orders.openings import committing, tracing
from orders.openings.reasons import FAILED_OPENING, NODE_NOT_READY
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Outcome


class Why(NamedTuple):
    """Why the attempt comes to nothing."""

    reason: str
    words: str


NO_CHANNEL: Final = Why(NODE_NOT_READY, "The attempt fell silent, and no channel came of it.")
_NOT_TAKEN: Final = Why(FAILED_OPENING, "The payment was not taken.")
_NOT_USABLE: Final = Why("PEER_NOT_REACHABLE", "The channel was not usable in time.")
_NOT_NAMED: Final = Why(FAILED_OPENING, "Another channel has the number that its buyer was given.")


def go_on(order: ChannelOrder, live: ChannelOpening, node: LndNode, now: datetime) -> Why | None:
    """The payment goes on over the channel as soon as it is usable, and once anything was taken the funding is
    published: PUBLISHING. Else why it comes to nothing; None: it is to be looked at again.

    What is in the channel is seen before anything is ended, and once more, with its peer disconnected, by who ends it.
    Money: as long as nothing was taken the payer's. A payment that runs out at its buyer's node makes us publish: LND
    ends what it cannot get back by closing the channel, and it can close only one that is in the chain.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    channel = tracing.open_channel(live, node)
    if channel is None:
        return _not_open(live, node)
    passed = passing.of(order)
    if not passed.parts:
        return _begin(order, channel, node, now)
    with_peer = node.channels_with(live.node_pubkey)
    outcome = passed.outcome(with_peer, node, height=node.info().block_height)
    if outcome is Outcome.UNDER_WAY and not channel.remote_balance_sat:
        return None
    if outcome is Outcome.GONE and is_empty(live, node):
        return _NOT_TAKEN
    if outcome in {Outcome.TAKEN, Outcome.TAKEN_IN_PART}:
        passing.conclude(order.pk, outcome)
    committing.keep(order.pk, live.pk, node)
    return None


def _begin(order: ChannelOrder, channel: Channel, node: LndNode, now: datetime) -> Why | None:
    """Nothing has gone on yet: it does, unless the time for that is over."""
    if channel.active:
        try:
            return None if passing.pass_on(order.pk, channel, node) else _NOT_TAKEN
        except (Rejected, NotFound):
            return _NOT_NAMED
    is_over = order.open_deadline_at is not None and order.open_deadline_at <= now
    return _NOT_USABLE if is_over else None


def _not_open(live: ChannelOpening, node: LndNode) -> Why | None:
    """It is not there; or it is being closed, and then its funding has to be in the chain for that.

    LND has it pending for a moment before it is open: that is no reason to publish it.
    """
    pending = tracing.under_way(live, node)
    if pending is not None and pending.phase is not PendingPhase.OPENING:
        committing.keep(live.order_id, live.pk, node)
        return None
    return None if tracing.is_anywhere(node, live) else NO_CHANNEL


def is_empty(opening: ChannelOpening, node: LndNode) -> bool:
    """The channel is open, and all of it is ours: nobody loses anything if it never is in the chain; so it is where
    there is none. Raises: NodeUnavailable.
    """
    channel = tracing.open_channel(opening, node)
    if channel is None:
        return not tracing.is_anywhere(node, opening)
    return channel.remote_balance_sat == 0 and not channel.htlcs
