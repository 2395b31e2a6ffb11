"""An order's channel as the node sees it now, and what is left of its lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lightning import connection as lightning
from lightning.types import Channel
from orders import leases, queries
from orders.admin.page.asking import Unknown, within
from orders.models import ChannelOpening, ChannelOrder
from orders.states import OpeningState, OrderState

#: A page waits no longer than this for the node, whatever happens there.
PATIENCE_SECONDS: Final = 2.0
_THERE: Final = frozenset({OpeningState.PUBLISHED, OpeningState.CONFIRMED})
_MAY_BE_LISTED: Final = frozenset({OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING})


@dataclass(frozen=True, slots=True)
class Seen:
    """The channel as the node lists it."""

    local_sat: int
    remote_sat: int
    capacity_sat: int
    active: bool
    watched_seconds: int
    online_seconds: int

    @property
    def online_percent(self) -> int | None:
        """Of the time since the node watches; None: it does not yet."""
        return None if not self.watched_seconds else 100 * self.online_seconds // self.watched_seconds

    @property
    def watched(self) -> timedelta:
        """For how long."""
        return timedelta(seconds=self.watched_seconds)


@dataclass(frozen=True, slots=True)
class Lease:
    """How much of what was promised is left, by the chain as it was last seen."""

    ends_at: datetime
    ends_height: int
    #: None: the node was never seen.
    left_blocks: int | None
    left: timedelta
    left_percent: int
    #: Both its blocks and its time; where the node was never seen nobody knows.
    is_over: bool


@dataclass(frozen=True, slots=True)
class Now:
    """What is known of a channel: as the node lists it, or why that is not known."""

    opening: ChannelOpening
    seen: Seen | None
    unknown: str
    lease: Lease | None


def of(order: ChannelOrder, now: datetime) -> Now | None:
    """The channel of an order that was loaded with its details; None where there is none yet, or none any more."""
    there = [each for each in order.openings.all() if each.state in _THERE and each.funding_outpoint]
    if not there or order.state not in _MAY_BE_LISTED:
        return None
    try:
        found = _listed(there[-1])
    except Unknown as why:
        return Now(there[-1], None, str(why), _lease(order, now))
    not_listed = "" if found else "the node does not list it among its open channels"
    return Now(there[-1], _seen(found) if found else None, not_listed, _lease(order, now))


def _listed(opening: ChannelOpening) -> Channel | None:
    """One call, for the channels with this one peer. Raises: Unknown."""
    pubkey, outpoint = opening.node_pubkey, opening.funding_outpoint
    asked = within(PATIENCE_SECONDS, lambda: lightning.node().channels_with(pubkey, seconds=PATIENCE_SECONDS))
    return next((each for each in asked if str(each.outpoint) == outpoint), None)


def _seen(listed: Channel) -> Seen:
    return Seen(
        local_sat=listed.local_balance_sat,
        remote_sat=listed.remote_balance_sat,
        capacity_sat=listed.capacity_sat,
        active=listed.active,
        watched_seconds=listed.watched_seconds,
        online_seconds=listed.online_seconds,
    )


def _lease(order: ChannelOrder, now: datetime) -> Lease | None:
    if order.lease_ends_at is None or order.lease_ends_height is None or order.lease_starts_at is None:
        return None
    seen = queries.snapshot()
    whole, left = order.lease_ends_at - order.lease_starts_at, order.lease_ends_at - now
    return Lease(
        order.lease_ends_at,
        order.lease_ends_height,
        leases.left_blocks(order, seen.block_height) if seen else None,
        max(timedelta(), left),
        min(100, max(0, round(100 * (left / whole)))) if whole else 0,
        seen is not None and leases.is_over(order, height=seen.block_height, now=now),
    )
