"""Whom not to serve, from an order's page: its node, or where its money was to go back to."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Q

from orders import money, queries
from orders.actors import Authority
from orders.barring import BanKind
from orders.errors import NotPossible
from orders.models import Ban, ChannelOrder
from orders.operations import banning
from orders.states import At
from orders.story import sat

_MEANS: Final = {
    BanKind.NODE: "No order is quoted or claimed for this node from now on.",
    BanKind.REFUND_ADDRESS: "Nobody names this address for a refund from now on; what was to go there is kept.",
}


def value_of(order: ChannelOrder, kind: BanKind) -> str:
    """What of the order would be listed; "" where it has none."""
    return {BanKind.NODE: order.node_pubkey, BanKind.REFUND_ADDRESS: order.refund_address}[kind]


def why_not_listed(order: ChannelOrder, kind: BanKind) -> str:
    """Why it cannot be listed now; "" when it can."""
    return banning.why_not_added(kind, value_of(order, kind))


def standing(order: ChannelOrder) -> list[Ban]:
    """The lines of the list that name the order's node, or its refund address."""
    named = Q()
    for kind in _MEANS:
        if value := value_of(order, kind):
            named |= Q(kind=kind, value__in={value, value.lower()})
    rows = Ban.objects.filter(named, lifted_at=None) if named else Ban.objects.none()
    return [ban for ban in rows if banning.is_standing(ban)]


def add(order_id: UUID, kind: BanKind, reason: str, actor: Authority) -> Ban:
    """What the order has of this kind is listed. Raises: OrderNotFound, InvalidField, NotPossible."""
    order = queries.order_or_raise(order_id)
    if why := why_not_listed(order, kind):
        raise NotPossible(why)
    return banning.add(kind, value_of(order, kind), reason=reason, actor=actor)


def told(order: ChannelOrder, kind: BanKind, reason: str) -> str:
    """Who is served no more, and what becomes of the money of orders that wait with it."""
    value = value_of(order, kind)
    waiting = banning.waiting_with(kind, value)
    because = f" The list says why, for staff alone: {reason}" if reason else ""
    named = f"{kind.label.capitalize()} {value}"
    return f"{named}: {_MEANS[kind]} {_waiting(kind, waiting)} A channel that stands stays.{because}"


def _waiting(kind: BanKind, waiting: list[ChannelOrder]) -> str:
    if not waiting:
        return "No paid order waits with it."
    count = f"{len(waiting):,} paid order{'s wait' if len(waiting) > 1 else ' waits'} with it"
    if kind is BanKind.REFUND_ADDRESS:
        return f"{count}: their channels are opened all the same."
    seen = [money.of(order, At.SEEN) for order in waiting]
    held_sat = sum(each.held_sat for each in seen)
    ours_sat = sum(each.received_sat for each in seen) - held_sat
    return (
        f"{count}: given up at once, {sat(held_sat)} that the node holds go back, and {sat(ours_sat)} that came on "
        "chain go back once they are final."
    )
