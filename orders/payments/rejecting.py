"""Who has paid an order is not served: it is REJECTED, and all that came for it can only go back."""

from __future__ import annotations

from orders import payments
from orders.actors import LSP, Authority
from orders.causes import NOT_SERVED, Cause
from orders.models import ChannelOrder
from orders.states import OrderState
from orders.transitions import move


def reject(order: ChannelOrder, *, actor: Authority = LSP) -> None:
    """The order is REJECTED; what can go back by itself is recorded to, and deposits are due once they are final.

    The caller holds the order's row, and knows that no attempt is live. Money: the buyer's; nothing is delivered.
    """
    order.give_up_reason = NOT_SERVED
    move(order, OrderState.REJECTED, cause=Cause.NOT_SERVED, actor=actor, reason=NOT_SERVED)
    for rail in payments.RAILS.values():
        rail.give_back(order, cause=Cause.NOT_SERVED, actor=actor)
