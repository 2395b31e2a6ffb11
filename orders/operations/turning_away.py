"""An order was taken before its node, or who paid it, was listed as one that we do not serve: it is not delivered."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from orders import serving
from orders.actors import LSP
from orders.causes import NOT_SERVED, Cause
from orders.openings.retrying import mark_given_up
from orders.payments.rejecting import reject
from orders.states import CLAIMABLE, OrderState
from orders.transitions import locked


def give_up(order_id: UUID) -> None:
    """The claimed order whose node is listed is GIVE_UP, without grace: its money goes back.

    Never while an attempt is live: past the point of no return it is delivered. Repeat: safe.
    """
    with locked(order_id) as order:
        if order.state != OrderState.URI_SET or order.live_opening is not None or not serving.bars_node(order):
            return
        mark_given_up(order, reason=NOT_SERVED, actor=LSP, cause=Cause.NOT_SERVED)
        order.give_up_until = timezone.now()


def reject_payment(order_id: UUID) -> None:
    """The paid order whose payer is listed is REJECTED, unless an attempt is live. Repeat: safe."""
    with locked(order_id) as order:
        if order.state in CLAIMABLE and order.live_opening is None and serving.bars_payment(order):
            reject(order)
