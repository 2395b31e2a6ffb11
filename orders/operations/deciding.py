"""A person decides about a refund that was proposed: of an order that was paid, and has no channel for it.

Each deed of staff has its guard here, once: the operation and the button ask the same function.
"""

from __future__ import annotations

from uuid import UUID

from orders import money
from orders.actors import Authority, Kind, open_to
from orders.errors import NotPossible
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.operations.refunding import read_reason
from orders.payments import onchain, security
from orders.states import At
from orders.transitions import locked


@open_to(Kind.STAFF, Kind.COMMAND)
def grant(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """What was proposed goes back on chain, as soon as an address is known; what sending it costs is taken from it.

    Money: the buyer's from now on. Raises: OrderNotFound, NotPossible.
    """
    with locked(order_id) as order:
        _require(why_not_granted(order))
        onchain.grant_refund(order, actor=actor)
    return order


def why_not_granted(order: ChannelOrder) -> str:
    """Why no refund can be granted now; "" when one can."""
    if onchain.proposed_refund(order) is None:
        return "No refund of this order is proposed."
    if not security.is_ours(order):
        return "What was paid is not ours: it goes back by itself, if at all."
    if money.of(order, At.DEEP, rail=Rail(order.counted_payment)).received_sat < order.order_total_sat:
        return "What was paid is not there, or not deep enough yet."
    if order.live_opening is not None:
        return "The funding of its channel is not deep yet: give it time."
    return "Another refund of this order is under way." if onchain.live_refund(order) is not None else ""


@open_to(Kind.STAFF, Kind.COMMAND)
def decline(order_id: UUID, *, reason: str, actor: Authority) -> ChannelOrder:
    """What was proposed does not go back, for this reason: the journal has it.

    Raises: OrderNotFound, InvalidField, NotPossible.
    """
    reason = read_reason(reason)
    with locked(order_id) as order:
        _require(why_not_declined(order))
        onchain.decline_refund(order, reason, actor=actor)
    return order


def why_not_declined(order: ChannelOrder) -> str:
    """Why nothing can be declined now; "" when something can."""
    return "" if onchain.proposed_refund(order) is not None else "No refund of this order is proposed."


def proposed_sat(order: ChannelOrder) -> int:
    """What is proposed to go back; 0: nothing is."""
    refund = onchain.proposed_refund(order)
    return refund.amount_sat if refund else 0


def _require(why_not: str) -> None:
    if why_not:
        raise NotPossible(why_not)
