"""What was paid on chain after the order had ended may still buy the channel, at today's price."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.utils import timezone

from orders import money, queries, serving
from orders.actors import LSP
from orders.admission import placing
from orders.causes import Cause
from orders.models import ChannelOrder, SwitchName
from orders.models.order import Rail
from orders.payments import judging
from orders.payments.counting import pay
from orders.payments.onchain import payers
from orders.states import At, OrderState, RefundState
from orders.transitions import locked


def buys(order: ChannelOrder, now: datetime) -> bool:
    """The order ended by itself, what came since covers it, nothing of it went back, and we still sell."""
    return (
        order.state == OrderState.EXPIRED
        and money.of(order, At.DEEP, rail=Rail.ONCHAIN).is_covered
        and not judging.is_outpriced(order, now)
        and not _was_cancelled(order)
        and not serving.bars_payment(order)
        and not payers.are_awaited(order)
        and not order.refunds.exclude(state=RefundState.WITHDRAWN).exists()
        and queries.paused(SwitchName.SALES) is None
        and (order.coupon is None or not queries.is_used_up(order.coupon))
    )


def _was_cancelled(order: ChannelOrder) -> bool:
    ended = order.events.filter(to_state=OrderState.EXPIRED).exclude(from_state=OrderState.EXPIRED).last()
    return ended is not None and ended.cause == Cause.CANCELLED


def take(order_id: UUID) -> None:
    """The expired order is PAID after all. Money: ours, at the depth that policy asks for. Repeat: safe."""
    with locked(order_id) as order:
        if order.coupon_id is not None:  # its last use is sold once
            placing.counting()
        if buys(order, timezone.now()):
            pay(order, Rail.ONCHAIN, cause=Cause.LATE_PAYMENT_TAKEN, actor=LSP)
            payers.flag_unknown(order)
