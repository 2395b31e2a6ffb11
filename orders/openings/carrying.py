"""A channel that opens just in time, whose buyer trusts us: it carries its payment before its funding is published.

The point of no return is the payment taken: from then on money of the buyer's is in the channel, and its funding is
published whatever comes. Until then the channel is worth nothing to anybody, and may be left.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.conf import settings

from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Channel, PendingPhase
from orders.causes import NEVER_REACHED
from orders.models import ChannelOpening, ChannelOrder
from orders.openings import committing, tracing
from orders.openings.apart import connection
from orders.openings.reasons import FAILED_OPENING, NODE_NOT_READY
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Outcome, Passed


class Why(NamedTuple):
    """Why the attempt comes to nothing."""

    reason: str
    words: str


NO_CHANNEL: Final = Why(NODE_NOT_READY, "The attempt fell silent, and no channel came of it.")
_NOT_TAKEN: Final = Why(FAILED_OPENING, "The payment was not taken.")
_NEVER_REACHED: Final = Why(NEVER_REACHED, "The payment came back, and had never reached the buyer's node.")
_NOT_USABLE: Final = Why("PEER_NOT_REACHABLE", "The channel was not usable in time.")
_WENT_AWAY: Final = Why("PEER_NOT_REACHABLE", "Its node was away before the payment could go on.")
_CLOSED: Final = Why(FAILED_OPENING, "The channel is being closed, and nothing is in it.")
_COINS_GONE: Final = Why("LSP_BUSY", "Another has a coin of the funding.")
_NOT_NAMED: Final = Why(FAILED_OPENING, "Another channel has the number that its buyer was given.")
#: A lease is renewed at each look once so large a part of it is over (a quarter).
_PART_OF_A_LEASE: Final = 4


def go_on(order: ChannelOrder, live: ChannelOpening, node: LndNode, now: datetime) -> Why | None:
    """The payment goes on over the channel as soon as it is usable, and once anything was taken the funding is
    published: PUBLISHING. Else why it comes to nothing; None: it is to be looked at again.

    What is in the channel is seen before anything is ended, and once more, with its peer disconnected, by who ends it.
    Money: as long as nothing was taken the payer's. A payment that runs out at its buyer's node makes us publish: LND
    ends what it cannot get back by closing the channel, and it can close only one that is in the chain.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    passed = passing.of(order)
    has_coins = _has_coins(live, node, now)
    if not has_coins and not passed.parts:
        return _COINS_GONE
    channel = tracing.open_channel(live, node)
    if channel is None and not _is_ending(live, node):
        return None if tracing.is_anywhere(node, live) else NO_CHANNEL
    if passed.parts:
        return _carried(order, live, passed, channel, node, has_coins=has_coins)
    return _begin(order, live, channel, node, now) if channel is not None else _without_payment(order, live, node)


def _carried(
    order: ChannelOrder,
    live: ChannelOpening,
    passed: Passed,
    channel: Channel | None,
    node: LndNode,
    *,
    has_coins: bool,
) -> Why | None:
    """The payment has gone on; its channel is there, or is being closed (None)."""
    with_peer = node.channels_with(live.node_pubkey)
    become = passed.become(with_peer, node, height=node.info().block_height)
    if become.outcome is Outcome.UNDER_WAY and channel is not None and not channel.remote_balance_sat:
        _with_the_rest(order, channel, node, has_coins=has_coins)
        return None
    if become.outcome is Outcome.GONE and is_empty(order, live, node):
        return _NEVER_REACHED if _reached_nobody(live, node) else _NOT_TAKEN
    if become.outcome in {Outcome.TAKEN, Outcome.TAKEN_IN_PART}:
        passing.conclude(order.pk, become)
    committing.keep(order.pk, live.pk, node)
    return None


def _reached_nobody(live: ChannelOpening, node: LndNode) -> bool:
    """No node but ours has ever known of the payment that came back: nothing was ever in the channel, and its buyer has
    no other with us, which LND may have used in its place.
    """
    with_peer = node.channels_with(live.node_pubkey)
    return [(str(each.outpoint), each.updates) for each in with_peer] == [(live.funding_outpoint, 0)]


def _with_the_rest(order: ChannelOrder, channel: Channel, node: LndNode, *, has_coins: bool) -> None:
    """Parts of the same payment that came after the others have gone on go on too: its wallet may wait for them.

    Where another has the coins they go back: over a channel that may never be in the chain nothing more goes on.
    """
    if not passing.undecided(order).exists():
        return
    if not has_coins:
        passing.turn_back_the_rest(order.pk, reason="COINS_GONE")
    elif channel.active:
        with suppress(Rejected, NotFound):
            passing.pass_on(order.pk, channel, node)


def _is_ending(live: ChannelOpening, node: LndNode) -> bool:
    """It is being closed. LND has it pending for a moment before it is open: that is no reason to publish it."""
    pending = tracing.under_way(live, node)
    return pending is not None and pending.phase is not PendingPhase.OPENING


def _has_coins(live: ChannelOpening, node: LndNode, now: datetime) -> bool:
    """Its coins are leased for another day, once a good part of the last is over; False: another has one of them."""
    leased_for = timedelta(seconds=settings.FUNDING_LEASE_SECONDS)
    return now - live.changed_at < leased_for / _PART_OF_A_LEASE or committing.lease_again(live, node)


def _without_payment(order: ChannelOrder, live: ChannelOpening, node: LndNode) -> Why | None:
    """The channel is being closed before the payment went on: left, or published where something is in it."""
    if is_empty(order, live, node):
        return _CLOSED
    committing.keep(order.pk, live.pk, node)
    return None


def _begin(order: ChannelOrder, live: ChannelOpening, channel: Channel, node: LndNode, now: datetime) -> Why | None:
    """Nothing has gone on yet: it does, unless the time for that is over, or the buyer's node has been away.

    Whether it started anew meanwhile nobody can tell. A node of LDK that did has forgotten that it takes less over this
    channel than was sent, and fails the payment; over a channel that it gets afterwards it takes it.
    """
    if not _has_stayed(live, node):
        return _WENT_AWAY
    if channel.active:
        try:
            return None if passing.pass_on(order.pk, channel, node) else _NOT_TAKEN
        except (Rejected, NotFound):
            return _NOT_NAMED
    return _NOT_USABLE if passing.is_over(order, now) else None


def _has_stayed(live: ChannelOpening, node: LndNode) -> bool:
    """The buyer's node is there, by the connection by which it was when its channel was promised.

    "" is what is left of an attempt of a version that did not record that.
    """
    now = connection(live.node_pubkey, node)
    return bool(now) and live.connection in {"", now}


def is_empty(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> bool:
    """All of the channel is ours: nobody loses anything if it never is in the chain; so it is where there is none.

    Of one that is being closed LND does not say what is on its way in it: nothing can be as long as no part has gone
    on, and later where nothing ever went out by it to stay. Raises: NodeUnavailable.
    """
    channel = tracing.open_channel(opening, node)
    if channel is not None:
        return channel.remote_balance_sat == 0 and not channel.htlcs
    pending = tracing.under_way(opening, node)
    if pending is not None and pending.phase is not PendingPhase.OPENING:
        return pending.remote_balance_sat == 0 and passing.left_nothing(order, node)
    return pending is None and not tracing.is_anywhere(node, opening)
