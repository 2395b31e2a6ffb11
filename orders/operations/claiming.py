"""The buyer names the node that gets the channel."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning.types import NodeAddress
from orders.causes import Cause
from orders.errors import NotClaimable
from orders.models import ChannelOrder
from orders.nudges import nudge
from orders.operations.addressing import require_openable
from orders.payments import security
from orders.states import OrderState
from orders.transitions import locked, move, note

#: Of one order's claim, by anybody.
MOST_CHANGES: Final = 20
_CHANGES: Final = (Cause.CLAIMED, Cause.CLAIM_DETAILED, Cause.CLAIM_TAKEN_BACK)


def claim(order_id: UUID, address: NodeAddress, *, announced: bool | None, actor: str, replace: bool) -> ChannelOrder:
    """The order's channel will be opened to `address`.

    Spec: POST /channel/manual_finalise (`replace`: another node may take the place until an attempt is live);
    LUD-02 callback (not `replace`: a claim stands).
    Money: unchanged; the payment stays secured until an opening succeeds or the order gives up.
    Repeat: safe; the same node again is fine in every state.
    Raises: OrderNotFound, NotClaimable, InvalidField (our own node, or a host that is never dialled).
    """
    require_openable(address)
    with locked(order_id) as order:
        if order.node_pubkey == address.pubkey and (order.claimed_at or order.state == OrderState.CREATED):
            _note_details(order, address, announced, actor)
            return order
        if not order.is_claimable:
            raise NotClaimable(_why_not(order))
        _require_not_returning(order)
        if order.state == OrderState.URI_SET:
            _require_steady(order)
        if order.state == OrderState.URI_SET and not replace:
            raise NotClaimable("The order is claimed for another node.")
        if order.live_opening is not None:
            raise NotClaimable("The channel to another node is being opened already.")
        _take(order, address, announced)
        move(order, OrderState.URI_SET, cause=Cause.CLAIMED, actor=actor, node=str(address))
    return order


def _take(order: ChannelOrder, address: NodeAddress, announced: bool | None) -> None:
    now = timezone.now()
    order.node_pubkey, order.node_host = address.pubkey, address.host
    order.announced_by_claim = announced
    if order.open_deadline_at is None:  # the window runs from the first claim: changing one's mind gains no time
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
    order.claimed_at = now
    order.failed_openings, order.last_failure_reason = 0, ""


def _note_details(order: ChannelOrder, address: NodeAddress, announced: bool | None, actor: str) -> None:
    """The same node again may bring a new host, and say at last whether the channel is public."""
    if order.state != OrderState.URI_SET or order.live_opening is not None:
        return
    new_host = bool(address.host) and address.host != order.node_host
    says_more = announced is not None and announced != order.announced_by_claim
    if not (new_host or says_more):
        return
    _require_steady(order)
    order.node_host = address.host or order.node_host
    order.announced_by_claim = order.announced_by_claim if announced is None else announced
    note(order, Cause.CLAIM_DETAILED, actor=actor, node=str(address))
    nudge(order)


def unclaim(order_id: UUID, *, actor: str) -> ChannelOrder:
    """The claim is taken back; the order waits for another.

    Spec: LUD-02, cancel=1. Money: unchanged. Repeat: safe.
    Raises: OrderNotFound, NotClaimable (an opening has begun, or the order is over).
    """
    with locked(order_id) as order:
        if order.state == OrderState.PAID:
            return order
        if order.state != OrderState.URI_SET or order.live_opening is not None:
            raise NotClaimable("The claim cannot be taken back any more.")
        _require_not_returning(order)
        _require_steady(order)
        node, order.node_pubkey, order.node_host = order.node_pubkey, "", ""
        order.claimed_at, order.announced_by_claim = None, None
        order.open_deadline_at = None  # the claim window bounds how often this can be done
        order.failed_openings, order.last_failure_reason = 0, ""
        move(order, OrderState.PAID, cause=Cause.CLAIM_TAKEN_BACK, actor=actor, node=node)
    return order


def _require_not_returning(order: ChannelOrder) -> None:
    rail = security.counted(order)
    if rail is not None and rail.is_going_back(order):
        raise NotClaimable("The payment is going back.")


def _require_steady(order: ChannelOrder) -> None:
    """Each change starts attempts anew, at peers' cost and ours: a buyer may change his mind, not for ever."""
    changes = order.events.filter(cause__in=_CHANGES).count()
    if changes >= MOST_CHANGES:
        raise NotClaimable("The claim was changed too often.")


def _why_not(order: ChannelOrder) -> str:
    if order.state == OrderState.CREATED:
        return "The order is not paid yet."
    if order.state == OrderState.EXPIRED:
        return "The order has expired."
    return f"The order cannot be claimed any more: it is in state {order.get_state_display()}."
