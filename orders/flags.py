"""What needs a person."""

from __future__ import annotations

from uuid import UUID

from orders.actors import Authority, Kind, open_to
from orders.models import ChannelOrder
from orders.transitions import locked, needs_staff, note


def flag(order_id: UUID, reason: str) -> None:
    """The order is flagged for staff. Repeat: safe."""
    with locked(order_id) as order:
        needs_staff(order, reason)


@open_to(Kind.STAFF, Kind.COMMAND)
def settle_flag(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """Staff have looked at the order: its flag is down, the journal keeps it."""
    with locked(order_id) as order:
        if order.needs_staff:
            note(order, "staff_have_looked", actor=actor, reason=order.needs_staff_reason)
            order.needs_staff, order.needs_staff_reason = False, ""
    return order
