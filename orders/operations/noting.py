"""What a person has done with money at the node, beside the machines: in the log, and in an order's journal."""

from __future__ import annotations

import logging
from uuid import UUID

from orders.actors import Authority, Kind, open_to
from orders.causes import Cause
from orders.models import ChannelOrder
from orders.transitions import locked, note

log = logging.getLogger(__name__)


@open_to(Kind.COMMAND)
def moved(order_id: UUID | None, payment_hash: str, amount_sat: int, *, cause: Cause, actor: Authority) -> None:
    """Who has moved which payment is on record; in the journal too where there is a row of the order."""
    log.warning("order=%s payment=%s %d sat: %s by %s", order_id, payment_hash, amount_sat, cause, actor)
    if order_id is not None and ChannelOrder.objects.filter(pk=order_id).exists():
        with locked(order_id) as order:
            note(order, cause, actor=actor, payment_hash=payment_hash, amount_sat=amount_sat)
