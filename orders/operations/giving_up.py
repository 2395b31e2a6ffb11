"""We stop trying to open, or try again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders.actors import LSP
from orders.errors import NotPossible
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.operations.security import insecurity
from orders.states import InvoiceState, OrderState
from orders.transitions import locked, move, needs_staff

_GAVE_UP = "Gave up"


def give_up(order_id: UUID, *, reason: str, actor: str = LSP) -> ChannelOrder:
    """The order is GIVE_UP; within the grace it may be retried, then a held payment goes back.

    Money: a held payment stays held for the grace; settled or on-chain money waits for staff.
    Raises: OrderNotFound, NotPossible (not claimed, or an attempt is live).
    """
    with locked(order_id) as order:
        if order.state != OrderState.URI_SET:
            raise NotPossible("Only a claimed order can be given up.", field="order_id")
        if order.live_opening is not None:
            raise NotPossible("An attempt to open the channel is live: give it time to end.", field="order_id")
        mark_given_up(order, reason=reason, actor=actor)
    return order


def mark_given_up(order: ChannelOrder, *, reason: str, actor: str = LSP) -> None:
    """As `give_up`, for who holds the order's row and knows that no attempt is live."""
    order.give_up_reason = reason
    order.give_up_until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_SECONDS)
    move(order, OrderState.GIVE_UP, cause="gave_up", actor=actor, reason=reason)
    invoice = order.invoice
    settled = invoice is not None and invoice.state == InvoiceState.SETTLED
    if order.counted_payment == Rail.ONCHAIN or settled:
        needs_staff(order, f"{_GAVE_UP} ({reason}) with the buyer's money: retry, or return it.")


def retry(order_id: UUID, *, actor: str) -> ChannelOrder:
    """A given-up order is tried again, with a new opening window.

    Money: unchanged; refused where the payment is not secured any more (the node is asked before an attempt).
    Raises: OrderNotFound, NotPossible with the reason.
    """
    with locked(order_id) as order:
        if order.state != OrderState.GIVE_UP:
            raise NotPossible(f"The order is in state {order.get_state_display()}, not given up.", field="order_id")
        why = insecurity(order)
        if why:
            raise NotPossible(why, field="order_id")
        now = timezone.now()
        order.give_up_reason, order.give_up_until = "", None
        order.failed_openings, order.last_failure_reason = 0, ""
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
        if order.needs_staff_reason.startswith(_GAVE_UP):
            order.needs_staff, order.needs_staff_reason = False, ""
        move(order, OrderState.URI_SET, cause="retried", actor=actor)
    return order
