"""The order comes to nothing, or a person says what became of its money.

Each deed of staff has its guard here, once: the operation, the button and a dry run ask the same function.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.utils import timezone

from orders import books, money, serving
from orders.actors import Authority, Kind, open_to
from orders.causes import CANCELLED, Cause, FlagKind
from orders.errors import NotPossible
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.openings.retrying import propose_undelivered
from orders.operations import pausing
from orders.payments import onchain, security
from orders.payments.counting import end_unpaid, give_back, pay
from orders.states import CLAIMABLE, SENT_REFUNDS, At, InvoiceState, OrderState
from orders.transitions import locked, move

#: States of an order whose money, where we took any, waits for somebody to return it.
_OVER: Final = frozenset({OrderState.GIVE_UP, OrderState.REJECTED, OrderState.EXPIRED})
_CANCELLABLE: Final = CLAIMABLE | {OrderState.CREATED, OrderState.GIVE_UP}


@open_to(Kind.STAFF, Kind.COMMAND)
def cancel(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """The order comes to nothing: unpaid it expires; a held payment goes back, and on-chain money once it is final.

    Raises: OrderNotFound, NotPossible (an attempt to open is live, the order is over, or our records are behind the
    node's: its channel may be there already).
    """
    with locked(order_id) as order:
        _require(why_not_cancelled(order))
        if order.state == OrderState.CREATED:
            if not give_back(order, cause=Cause.CANCELLED, actor=actor):
                end_unpaid(order, cause=Cause.CANCELLED, actor=actor)
        else:
            _cancel_paid(order, actor)
    return order


def why_not_cancelled(order: ChannelOrder) -> str:
    """Why the order cannot be cancelled now; "" when it can."""
    if pausing.is_behind():
        return "Our records are behind the node's: run `manage.py recover` first."
    if order.live_opening is not None:
        return "An attempt to open the channel is live: give it time to end."
    if security.is_going_back(order):
        return "The payment is going back already."
    if order.state not in _CANCELLABLE:
        return f"An order in state {order.get_state_display()} cannot be cancelled."
    return ""


def _cancel_paid(order: ChannelOrder, actor: Authority) -> None:
    now = timezone.now()
    if order.state == OrderState.URI_SET:
        order.give_up_reason, order.give_up_until = CANCELLED, now
        move(order, OrderState.GIVE_UP, cause=Cause.CANCELLED, actor=actor, reason=CANCELLED)
    rail = security.counted(order)
    if rail is not None and rail.is_held(order) and rail.give_back(order, cause=Cause.CANCELLED, actor=actor):
        return
    move(order, OrderState.REJECTED, cause=Cause.CANCELLED, actor=actor)
    words = "Cancelled; the buyer's money is with us and is to be returned."
    raise_flag(order, FlagKind.CANCELLED_PAID, words, actor=actor)
    propose_undelivered(order)


@open_to(Kind.STAFF, Kind.COMMAND)
def record_returned(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """Staff have sent the buyer's money back by hand: the order is REFUNDED, and is never delivered.

    Money: the buyer's again, by the word of the person whose name is journalled. What the node still holds goes back
    by itself and is not meant here.
    Raises: OrderNotFound, NotPossible.
    """
    with locked(order_id) as order:
        _require(why_not_returned(order))
        order.counted_payment = order.counted_payment or Rail.ONCHAIN
        move(order, OrderState.REFUNDED, cause=Cause.RETURNED_BY_HAND, actor=actor)
        onchain.withdraw_refunds(order, actor=actor)
        books.returned_by_hand(order)
    return order


def why_not_returned(order: ChannelOrder) -> str:
    """Why no money of the order can have been returned by hand; "" when it can."""
    still_there = order.state in _OVER and not money.of(order, At.SEEN).held_sat
    if still_there and not security.is_going_back(order) and _we_took_some(order):
        return ""
    return "Only money that we took for a given-up, rejected or expired order can be returned by hand."


def _we_took_some(order: ChannelOrder) -> bool:
    """Also of deposits that have vanished: what was sent back by hand may have been they."""
    settled = order.invoice is not None and order.invoice.state == InvoiceState.SETTLED
    return settled or order.counted_payment == Rail.ONCHAIN or bool(order.onchain_payments.all())


@open_to(Kind.STAFF, Kind.COMMAND)
def revive(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """An EXPIRED order whose covering on-chain payment came late is PAID after all.

    Raises: OrderNotFound, NotPossible.
    """
    with locked(order_id) as order:
        _require(why_not_revived(order))
        onchain.withdraw_refunds(order, actor=actor)
        pay(order, Rail.ONCHAIN, cause=Cause.LATE_PAYMENT_ACCEPTED, actor=actor)
    return order


def why_not_revived(order: ChannelOrder) -> str:
    """Why the order cannot be taken for paid now; "" when it can."""
    if order.state != OrderState.EXPIRED:
        return "Only an expired order can be revived."
    if security.is_going_back(order):
        return "The payment is going back already."
    if not money.of(order, At.DEEP, rail=Rail.ONCHAIN).is_covered:
        return "No on-chain payment covers this order."
    if serving.bars_payment(order):
        return "Who has paid it is on the list of those that we do not serve."
    if order.refunds.filter(state__in=SENT_REFUNDS).exists():
        return "Money of this order is on its way back, or back with the buyer."
    return ""


def _require(why_not: str) -> None:
    if why_not:
        raise NotPossible(why_not)
