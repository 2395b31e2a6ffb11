"""Somebody says where money goes back to, or what becomes of money that cannot be sent."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from lightning import transactions
from orders.actors import Authority, Kind, open_to
from orders.errors import InvalidField, NotPossible, TokenNeeded
from orders.models import ChannelOrder
from orders.operations.addressing import REFUND_ADDRESS, require_elsewhere
from orders.payments import onchain
from orders.states import RefundState
from orders.transitions import locked


@open_to(Kind.BUYER, Kind.TOKEN, Kind.STAFF, Kind.COMMAND)
def say_refund_address(order_id: UUID, address: str, *, actor: Authority) -> ChannelOrder:
    """What is to go back of the order, now or later, goes to `address`, until it is signed.

    Who knows the order's id alone may not say: an id is shown to many, and the money would be his.
    Repeat: safe. Raises: OrderNotFound, InvalidField, TokenNeeded, NotPossible (it is on its way already).
    """
    try:
        transactions.check_address(address, settings.LND_NETWORK)
    except ValueError as error:
        raise InvalidField(str(error), field=REFUND_ADDRESS) from None
    require_elsewhere(address)
    with locked(order_id) as order:
        if actor.kind is Kind.BUYER:
            raise TokenNeeded("Where money goes back to is said with the quote's order_token.")
        onchain.say_address(order, address, actor=actor)
    return order


@open_to(Kind.STAFF, Kind.COMMAND)
def keep(order_id: UUID, *, reason: str, actor: Authority) -> ChannelOrder:
    """What is to go back is kept for the buyer instead, for this reason: booked, and told in the journal.

    Money: stays in our wallet, as the buyer's; `release` lets it go back after all.
    Raises: OrderNotFound, NotPossible (nothing is to go back, or it is signed).
    """
    with locked(order_id) as order:
        refund = onchain.live_refund(order)
        if refund is None or refund.state != RefundState.DUE:
            raise NotPossible("No money of this order waits to go back on chain.")
        onchain.keep_refund(order, refund, reason, actor=actor)
    return order


@open_to(Kind.STAFF, Kind.COMMAND)
def release(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """What was kept is due again, all of it. Raises: OrderNotFound, NotPossible (nothing is kept, or a refund runs)."""
    with locked(order_id) as order:
        if onchain.live_refund(order) is not None or not onchain.release_kept(order, actor=actor):
            raise NotPossible("No money of this order is kept, or a refund is under way.")
    return order
