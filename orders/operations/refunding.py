"""Somebody says where money goes back to, or what becomes of money that cannot be sent.

Each deed of staff has its guard here, once: the operation and the button ask the same function.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings

from lightning import transactions
from orders import money
from orders.actors import Authority, Kind, open_to
from orders.errors import InvalidField, NotPossible, TokenNeeded
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.operations.addressing import REFUND_ADDRESS, require_elsewhere, require_served
from orders.payments import onchain
from orders.states import DELIVERED, At, OrderState, RefundState
from orders.transitions import locked

REASON: Final = "reason"
#: As long as their columns.
LONGEST_ADDRESS: Final = 100
LONGEST_REASON: Final = 300
#: What came on chain has bought something, or a person has said that it is back.
_DECIDED: Final = DELIVERED | {OrderState.REFUNDED}


@open_to(Kind.BUYER, Kind.TOKEN, Kind.STAFF, Kind.COMMAND)
def say_refund_address(order_id: UUID, address: str, *, actor: Authority) -> ChannelOrder:
    """What is to go back of the order, now or later, goes to `address`, until it is signed.

    Who knows the order's id alone may not say: an id is shown to many, and the money would be his. Staff say it where
    money of the order may have to go back.
    Repeat: safe. Raises: OrderNotFound, InvalidField, TokenNeeded, NotPossible (it is on its way already).
    """
    address = read_address(address)
    with locked(order_id) as order:
        if actor.kind is Kind.BUYER:
            raise TokenNeeded("Where money goes back to is said with the quote's order_token.")
        if actor.kind in {Kind.STAFF, Kind.COMMAND}:
            _require(why_not_addressed(order))
        onchain.say_address(order, address, actor=actor)
    return order


def read_address(text: str) -> str:
    """The address that was typed: one that our node can pay, and that is served. Raises: InvalidField, NotServed."""
    address = text.strip()
    if not address or len(address) > LONGEST_ADDRESS:  # before anything is reckoned with it
        raise InvalidField(f"An address of 1 to {LONGEST_ADDRESS} characters is required.", field=REFUND_ADDRESS)
    try:
        transactions.check_address(address, settings.LND_NETWORK)
    except ValueError as error:
        raise InvalidField(str(error), field=REFUND_ADDRESS) from None
    require_elsewhere(address)
    require_served(None, refund_address=address)
    return address


def why_not_addressed(order: ChannelOrder) -> str:
    """Why staff cannot say now where its money goes back to; "" when they can."""
    refund = onchain.live_refund(order)
    if refund is not None:
        return "" if refund.state == RefundState.DUE else "The refund is on its way already."
    if onchain.proposed_refund(order) is not None or kept_sat(order):
        return ""
    if order.state in _DECIDED or not undecided_sat(order):
        return "No money of this order waits to go back on chain."
    return ""


def undecided_sat(order: ChannelOrder) -> int:
    """What is seen on chain and in no refund: it may buy the channel yet, or go back."""
    besides = {RefundState.WITHDRAWN, RefundState.PROPOSED}
    in_refunds_sat = sum(row.amount_sat for row in order.refunds.all() if row.state not in besides)
    return max(0, money.of(order, At.SEEN, rail=Rail.ONCHAIN).received_sat - in_refunds_sat)


@open_to(Kind.STAFF, Kind.COMMAND)
def keep(order_id: UUID, *, reason: str, actor: Authority) -> ChannelOrder:
    """What is to go back is kept for the buyer instead, for this reason: booked, and told in the journal.

    Money: stays in our wallet, as the buyer's; `release` lets it go back after all.
    Raises: OrderNotFound, InvalidField, NotPossible (nothing is to go back, or it is signed).
    """
    reason = read_reason(reason)
    with locked(order_id) as order:
        _require(why_not_kept(order))
        refund = onchain.live_refund(order)
        assert refund is not None  # else the guard says why not
        onchain.keep_refund(order, refund, reason, actor=actor)
    return order


def read_reason(text: str) -> str:
    """The reason that was typed, in one line. Raises: InvalidField."""
    reason = " ".join(text.split())
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InvalidField(f"A reason of 1 to {LONGEST_REASON} characters is required.", field=REASON)
    return reason


def why_not_kept(order: ChannelOrder) -> str:
    """Why no money of the order can be kept now; "" when it can."""
    refund = onchain.live_refund(order)
    if refund is None:
        return "No money of this order waits to go back on chain."
    return "" if refund.state == RefundState.DUE else "The refund is on its way already."


@open_to(Kind.STAFF, Kind.COMMAND)
def release(order_id: UUID, *, actor: Authority) -> ChannelOrder:
    """The oldest sum that was kept is due again.

    Raises: OrderNotFound, NotPossible (none is kept, or a refund is under way).
    """
    with locked(order_id) as order:
        _require(why_not_released(order))
        onchain.release_kept(order, actor=actor)
    return order


def why_not_released(order: ChannelOrder) -> str:
    """Why nothing that is kept can be due now; "" when it can."""
    if onchain.live_refund(order) is not None:
        return "Another refund of this order is under way."
    return "" if kept_sat(order) else "No money of this order is kept."


def kept_sat(order: ChannelOrder) -> int:
    """The oldest sum that is kept: `release` makes it due. 0: none is."""
    return next((row.amount_sat for row in order.refunds.all() if row.state == RefundState.KEPT), 0)


def _require(why_not: str) -> None:
    if why_not:
        raise NotPossible(why_not)
