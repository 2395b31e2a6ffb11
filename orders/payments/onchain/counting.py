"""Deposits deep enough make an order PAID."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning.node import LndNode
from orders import money, serving
from orders.actors import LSP
from orders.admission import placing
from orders.causes import Cause
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.payments import judging
from orders.payments.counting import pay
from orders.payments.onchain import crediting, foreseeing, payers
from orders.payments.rejecting import reject
from orders.states import At, OrderState
from orders.transitions import locked


def arrive(order: ChannelOrder, node: LndNode) -> bool:
    """Deposits that are deep enough count, and others keep coins. Each was read in bulk, and nudged: no reason for
    another look.
    """
    if money.of(order, At.SEEN, rail=Rail.ONCHAIN).received_sat:
        payers.look(order)
        count(order.pk)
        foreseeing.look(order)
        crediting.consider(order)
    return False


def count(order_id: UUID) -> None:
    """The order is PAID once deposits deep enough cover it: in time, or at a price that still holds. REJECTED, where
    who has paid is listed as one that we do not serve.

    Money: ours, at the depth that policy asks for. The Lightning invoice is recorded to go back, so that nobody
    pays twice. Repeat: safe.
    """
    with locked(order_id) as order:
        is_there = order.state == OrderState.CREATED and money.of(order, At.DEEP, rail=Rail.ONCHAIN).is_covered
        if is_there and serving.bars_payment(order):
            reject(order)
        elif is_there and not payers.are_awaited(order) and not judging.is_outpriced(order, timezone.now()):
            placing.counting()
            placing.confirm(order)
            pay(order, Rail.ONCHAIN, cause=Cause.ONCHAIN_PAYMENT_CONFIRMED, actor=LSP)
            payers.flag_unknown(order)


def claim_window() -> timedelta:
    """As long as we keep money that nobody claims before a person is told."""
    return timedelta(seconds=settings.CLAIM_WINDOW_ONCHAIN_SECONDS)
