"""The one way in which a channel is closed by us begins here: it is wanted, by whom and why, and that is on record.

What the node is asked then is in `orders.operations.shutdown`. Each deed of staff has its guard here, once: the
operation and the button ask the same function.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.utils import timezone

from orders import leases, queries
from orders.actors import LSP, Authority, Kind, open_to
from orders.causes import Cause
from orders.errors import NotPossible
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder, ClosingKind
from orders.nudges import nudge
from orders.operations.refunding import read_reason
from orders.states import ClosingState, OpeningState, OrderState
from orders.story import when
from orders.transitions import locked, move_closing, note
from orders.waking import telling

_HAS_CHANNEL: Final = frozenset({OrderState.OPENING, OrderState.OPEN})
_DELIVERING: Final = frozenset({OpeningState.PUBLISHED, OpeningState.CONFIRMED})


@open_to(Kind.STAFF, Kind.COMMAND, Kind.SERVER)
def close(order_id: UUID, *, reason: str, actor: Authority) -> ChannelClosing:
    """The channel, whose lease is over, is to be closed together with its peer: as soon as that one is there.

    Money: what is ours comes back to our wallet, less the transaction's fee; the buyer gets his side on chain.
    Raises: OrderNotFound, InvalidField, NotPossible (the lease lasts, or there is nothing to close).
    """
    return _want(order_id, ClosingKind.TOGETHER, reason, actor, overriding=False)


@open_to(Kind.STAFF, Kind.COMMAND)
def force(order_id: UUID, *, reason: str, actor: Authority) -> ChannelClosing:
    """As `close`, without the peer: dearer, and what is ours is back after days.

    A close with the peer that waits gives way to it; one that has begun does not.
    """
    return _want(order_id, ClosingKind.FORCED, reason, actor, overriding=False)


@open_to(Kind.STAFF)
def override(order_id: UUID, *, kind: ClosingKind, reason: str, actor: Authority) -> ChannelClosing:
    """As `close` or `force`, before the lease's end: on record is who wanted it, and why.

    Money: a refund is proposed for what was promised and not had (orders.openings.closes).
    """
    return _want(order_id, kind, reason, actor, overriding=True)


def why_not_closed(order: ChannelOrder, kind: ClosingKind, *, overriding: bool) -> str:
    """Why the order's channel cannot be closed so now; "" when it can."""
    if order.state == OrderState.CLOSING:
        return "Its channel is being closed already."
    if order.state not in _HAS_CHANNEL or order.lease_starts_height is None or channel_of(order) is None:
        return "It has no channel that could be closed."
    if (other := queries.live_closing(order)) is not None and (kind != ClosingKind.FORCED or other.is_forced):
        return "It is to be closed already."
    if other is not None and other.state == ClosingState.UNDER_WAY:
        return "Its channel is being closed already."
    return lease_objection(order, overriding=overriding)


def lease_objection(order: ChannelOrder, *, overriding: bool) -> str:
    """The guard of the promise: why the lease forbids to close the channel; "" when it does not."""
    is_over = _is_over(order)
    if is_over or overriding:
        return "Its lease is over: nothing has to be overridden." if is_over and overriding else ""
    ends_height = order.lease_ends_height or 0
    return f"Its channel is promised until {when(order.lease_ends_at)} and block {ends_height:,}."


def _is_over(order: ChannelOrder) -> bool:
    if order.lease_ends_at is None or timezone.now() < order.lease_ends_at:
        return False  # whatever the chain says: nobody is asked
    seen = queries.snapshot()
    return seen is not None and leases.is_over(order, height=seen.block_height, now=timezone.now())


def _want(order_id: UUID, kind: ClosingKind, reason: str, actor: Authority, *, overriding: bool) -> ChannelClosing:
    reason = read_reason(reason)
    with locked(order_id) as order:
        _require(why_not_closed(order, kind, overriding=overriding))
        opening, other = channel_of(order), queries.live_closing(order)
        assert opening is not None  # else the guard says why not
        if other is not None:
            _withdraw(order, other, "It is closed by force instead.", actor=actor)
        # the node may yet close it as the other was wanted: then it is that one's case
        overrides = overriding or (other is not None and other.may_have_begun and other.overrides_lease)
        closing = ChannelClosing.objects.create(
            order=order, opening=opening, kind=kind, overrides_lease=overrides, actor=str(actor), reason=reason,
            created_at=timezone.now(), asked_at=other.asked_at if other is not None else None,
        )  # fmt: skip
        note(
            order, Cause.CLOSE_WANTED, actor=actor, kind=kind, reason=reason, before_lease_ends=overriding or None,
            lease_ends_height=order.lease_ends_height,
        )  # fmt: skip
        if kind == ClosingKind.TOGETHER:
            telling.liquidity_wanted(order.node_pubkey)
        nudge(order)
    return closing


@open_to(Kind.STAFF, Kind.COMMAND)
def withdraw(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """The close that waits is not wanted any more; the channel stays. Raises: OrderNotFound, NotPossible."""
    with locked(order_id) as order:
        _require(why_not_withdrawn(order))
        take_back(order, "Somebody has taken it back.", actor=actor)
    return order


def why_not_withdrawn(order: ChannelOrder) -> str:
    """Why no close of the order's channel can be taken back now; "" when one can."""
    closing = queries.live_closing(order)
    if closing is None:
        return "Its channel is not to be closed."
    return "The node may have begun to close its channel." if closing.may_have_begun else ""


def take_back(order: ChannelOrder, why: str, *, actor: Authority = LSP) -> None:
    """The close that waits is withdrawn, for this reason. The caller holds the order's row, and knows that the
    node knows nothing of one that there is, or that its channel is not the order's.
    """
    closing = queries.live_closing(order)
    if closing is not None:
        _withdraw(order, closing, why, actor=actor)


def _withdraw(order: ChannelOrder, closing: ChannelClosing, why: str, *, actor: Authority) -> None:
    move_closing(order, closing, ClosingState.WITHDRAWN, detail=why)
    note(order, Cause.CLOSE_WITHDRAWN, actor=actor, reason=why)


def channel_of(order: ChannelOrder) -> ChannelOpening | None:
    """The attempt whose channel the order has."""
    rows = [row for row in order.openings.all() if row.state in _DELIVERING]
    return rows[-1] if rows else None


def _require(why_not: str) -> None:
    if why_not:
        raise NotPossible(why_not)
