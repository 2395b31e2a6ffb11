"""We stop trying to open, or try again, by somebody's word."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders import serving
from orders.actors import Authority, Kind, open_to
from orders.barring import Asked
from orders.causes import Cause
from orders.errors import NotPossible
from orders.models import ChannelOrder
from orders.openings.retrying import mark_given_up
from orders.payments import onchain
from orders.payments.security import insecurity
from orders.states import OrderState
from orders.transitions import locked, move


@open_to(Kind.STAFF, Kind.COMMAND, Kind.SERVER)
def give_up(order_id: UUID, *, reason: str, actor: Authority) -> ChannelOrder:
    """The order is GIVE_UP; within the grace it may be retried, then a held payment goes back.

    Money: a held payment stays held for the grace, then it goes back; so does what was paid on chain. Of a settled
    payment a refund is proposed.
    Raises: OrderNotFound, NotPossible (not claimed, or an attempt is live).
    """
    with locked(order_id) as order:
        why = why_not_given_up(order)
        if why:
            raise NotPossible(why)
        mark_given_up(order, reason=reason, actor=actor)
    return order


def why_not_given_up(order: ChannelOrder) -> str:
    """Why the order cannot be given up now; "" when it can."""
    if order.state != OrderState.URI_SET:
        return "Only a claimed order can be given up."
    if order.live_opening is not None:
        return "An attempt to open the channel is live: give it time to end."
    return ""


@open_to(Kind.STAFF, Kind.COMMAND)
def retry(order_id: UUID, *, actor: Authority, is_there: bool = False) -> ChannelOrder:
    """A given-up order is tried again, with a new opening window.

    `is_there`: the node has its channel already, and only our records have to follow; whoever is listed since.

    Money: unchanged; refused where the payment is not secured any more (the node is asked before an attempt).
    Raises: OrderNotFound, NotPossible with the reason.
    """
    with locked(order_id) as order:
        why = why_not_retried(order, is_there=is_there)
        if why:
            raise NotPossible(why)
        now = timezone.now()
        order.give_up_reason, order.give_up_until = "", None
        order.failed_openings, order.last_failure_reason = 0, ""
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
        onchain.withdraw_refunds(order, only_ends_order=True, actor=actor)
        move(order, OrderState.URI_SET, cause=Cause.RETRIED, actor=actor)
    return order


def why_not_retried(order: ChannelOrder, *, is_there: bool = False) -> str:
    """Why the order cannot be tried again, by our own records; "" when it can."""
    if order.state != OrderState.GIVE_UP:
        return f"The order is in state {order.get_state_display()}, not given up."
    if not is_there and serving.objection(Asked(node=order.node_pubkey, host=order.node_host)) is not None:
        return "Its node is on the list of those that we do not serve."
    return insecurity(order)
