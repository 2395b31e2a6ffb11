"""An order was told to give way, or paid and found no room: it goes, and says why."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from lightning.node import LndNode
from orders import queries
from orders.actors import LSP
from orders.admission import placing
from orders.causes import COINS_PROMISED_ELSEWHERE, Cause
from orders.openings.retrying import mark_given_up
from orders.operations import snapshot
from orders.payments.counting import covered, end_unpaid, give_back
from orders.states import OrderState
from orders.transitions import locked


def place(order_id: UUID, node: LndNode) -> bool:
    """The paid order that waits for room is promised its coins; False: it goes on waiting.

    The node is looked at first: what we saw of it may be older than what has become free.
    Raises: NotAvailable, NodeUnavailable.
    """
    seen = queries.snapshot()
    if seen is not None:
        snapshot.look_again(node, seen)
    with locked(order_id) as order:
        placing.counting()
        return placing.place(order)


def end_quote(order_id: UUID) -> None:
    """The unpaid order is to end, its invoice first: it is recorded to be cancelled.

    Money: none is held. What is paid in this moment was recorded before, and then the order is paid and stays; or it is
    cancelled with the invoice, and back with the buyer. Repeat: safe.
    """
    with locked(order_id) as order:
        if order.state != OrderState.CREATED or not order.is_going or covered(order):
            return
        order.give_up_reason = COINS_PROMISED_ELSEWHERE
        if not give_back(order, cause=Cause.GAVE_WAY, actor=LSP):
            end_unpaid(order, cause=Cause.GAVE_WAY, actor=LSP)


def give_up(order_id: UUID) -> None:
    """The claimed order is GIVE_UP without grace: its payment goes back at the next look. Repeat: safe."""
    with locked(order_id) as order:
        if order.state != OrderState.URI_SET or order.live_opening is not None:
            return
        placing.tell_to_go(order)
        mark_given_up(order, reason=COINS_PROMISED_ELSEWHERE, actor=LSP, cause=Cause.GAVE_WAY)
        order.give_up_until = timezone.now()
