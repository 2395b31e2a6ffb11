"""Whom not to serve, from an order's page: its node, where its money was to go back to, or who has paid it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings

from lightning import transactions
from orders import money, queries
from orders.actors import Authority
from orders.barring import BanKind
from orders.errors import InvalidField, NotPossible
from orders.models import Ban, ChannelOrder
from orders.operations import banning
from orders.states import At
from orders.story import sat

_MEANS: Final = {
    BanKind.NODE: "No order is quoted or claimed for this node from now on.",
    BanKind.REFUND_ADDRESS: "Nobody names this address for a refund from now on; what was to go there is kept.",
    BanKind.PAYER: "What these addresses pay on chain buys nothing from now on, and can only go back.",
}
_MOST_NAMED: Final = 5


def values_of(order: ChannelOrder, kind: BanKind) -> list[str]:
    """What of the order would be listed; nothing where it has none, or nobody could tell us."""
    if kind is BanKind.PAYER:
        return payers(order)
    value = order.node_pubkey if kind is BanKind.NODE else order.refund_address
    return [value] if value else []


def payers(order: ChannelOrder) -> list[str]:
    """The addresses whose coins paid its deposits, as far as they have one and the chain source has told."""
    scripts = {script for row in order.onchain_payments.all() for script in row.payers or ()}
    found = {transactions.script_address(script, settings.LND_NETWORK) for script in scripts}
    return sorted(found - {""})


def why_not_listed(order: ChannelOrder, kind: BanKind) -> str:
    """Why nothing of this kind can be listed now; "" when something can."""
    return "" if _missing(order, kind) else f"The order has no {kind.label}, or it is listed already."


def _missing(order: ChannelOrder, kind: BanKind) -> list[str]:
    """What of it is not on the list yet."""
    values = values_of(order, kind)
    listed = {ban.value for ban in _lines(kind, values)} if values else set()
    return [value for value in values if _as_listed(kind, value) not in listed]


def _lines(kind: BanKind, values: list[str]) -> list[Ban]:
    names = {_as_listed(kind, value) for value in values}
    rows = Ban.objects.filter(kind=kind, value__in=names, lifted_at=None)
    return [ban for ban in rows if banning.is_standing(ban)]


def _as_listed(kind: BanKind, value: str) -> str:
    try:
        return banning.read_value(kind, value)
    except InvalidField:
        return value


def standing(order: ChannelOrder) -> list[Ban]:
    """The lines of the list that name the order's node, its refund address, or who has paid it."""
    values = {kind: values_of(order, kind) for kind in _MEANS}
    return [ban for kind, found in values.items() if found for ban in _lines(kind, found)]


def add(order_id: UUID, kind: BanKind, reason: str, actor: Authority) -> list[Ban]:
    """What the order has of this kind is listed. Raises: OrderNotFound, InvalidField, NotPossible."""
    order = queries.order_or_raise(order_id)
    if why := why_not_listed(order, kind):
        raise NotPossible(why)
    return [banning.add(kind, value, reason=reason, actor=actor) for value in _missing(order, kind)]


def told(order: ChannelOrder, kind: BanKind, reason: str) -> str:
    """Who is served no more, and what becomes of the money of orders that wait with it."""
    values = _missing(order, kind)
    waiting = {each.pk: each for value in values for each in banning.waiting_with(kind, value)}
    because = f" The list says why, for staff alone: {reason}" if reason else ""
    return (
        f"{kind.label.capitalize()} {_named(values)}: {_MEANS[kind]} {_waiting(kind, list(waiting.values()))} "
        f"A channel that stands stays.{because}"
    )


def _named(values: list[str]) -> str:
    more = len(values) - _MOST_NAMED
    return ", ".join(values[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


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
