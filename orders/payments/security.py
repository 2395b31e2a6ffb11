"""Whether the payment that counts is secured: ours to keep if we deliver."""

from __future__ import annotations

from django.conf import settings

from lightning.node import LndNode
from orders import money, payments
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.payments.rail import PaymentRail, Security
from orders.states import At
from orders.wallet.looking import LOOK_BACK_BLOCKS
from orders.wallet.refunded import sent_back_sat

_NOTHING_COUNTS = Security(secured=False, lost=True, reason="no payment counts")


def counted(order: ChannelOrder) -> PaymentRail | None:
    """The rail of the payment that counts; None: the order was never paid."""
    return payments.RAILS[Rail(order.counted_payment)] if order.counted_payment else None


def look(order: ChannelOrder, node: LndNode, height: int | None = None) -> Security:
    """The payment that counts, as the node sees it now; at `height` where the caller knows it.

    Raises: NodeUnavailable.
    """
    rail = counted(order)
    return rail.look(order, node, height) if rail else _NOTHING_COUNTS


def has_spare(payment: Security) -> bool:
    """The held payment lasts for the attempt and some blocks more."""
    return payment.spare_blocks is None or payment.spare_blocks >= settings.SPARE_BLOCKS


def insecurity(order: ChannelOrder) -> str:
    """Why the payment that counts is not secured according to our own records; "" when it is."""
    rail = counted(order)
    if rail is None:
        return "The order was never paid."
    return rail.insecurity(order) or ("What was paid is going back." if goes_back(order) else "")


def obstacle(order: ChannelOrder) -> str:
    """Why we could not take the payment that counts once we have delivered; "" when we can."""
    rail = counted(order)
    return rail.obstacle(order) if rail else ""


def is_held(order: ChannelOrder) -> bool:
    """What was paid is the buyer's still, and goes back by itself when we give up."""
    rail = counted(order)
    return rail is not None and rail.is_held(order)


def is_ours(order: ChannelOrder) -> bool:
    """What was paid is with us: when we give up somebody has to return it."""
    rail = counted(order)
    return rail is not None and rail.is_ours(order)


def goes_back(order: ChannelOrder) -> bool:
    """What paid the order is recorded to go back: by its own rail, or on chain, as a settled Lightning payment does."""
    rail = counted(order)
    if rail is None:
        return False
    return rail.is_going_back(order) or (rail.is_ours(order) and payments.RAILS[Rail.ONCHAIN].is_going_back(order))


def is_going_back(order: ChannelOrder) -> bool:
    """A payment was recorded to go back, and is not back yet."""
    return any(rail.is_going_back(order) for rail in payments.RAILS.values())


def sent_back(order: ChannelOrder, node: LndNode) -> bool:
    """So much of the buyer's money went back that the rest does not pay the order.

    The order of a database that was put back does not know, and would deliver for nothing. A surplus that was returned
    leaves enough.
    """
    since = max(0, order.created_height - LOOK_BACK_BLOCKS)
    returned_sat = sent_back_sat(order.pk, node.transactions(from_height=since))
    return bool(returned_sat) and money.of(order, At.SEEN).received_sat - returned_sat < order.order_total_sat
