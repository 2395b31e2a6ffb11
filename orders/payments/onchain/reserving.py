"""What deposits keep of our coins for an order that is not paid yet. They pay nothing by it: `counting` alone does."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from orders import blocks, money
from orders.admission import placing
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.states import At, DepositState, OrderState


def reserve(order: ChannelOrder) -> None:
    """Coins for the unpaid order are firm while deposits in blocks cover it, and kept while others will be in one.

    The caller holds the order's row. Repeat: safe.
    """
    if order.state != OrderState.CREATED:
        return
    if money.of(order, At.CONFIRMED, rail=Rail.ONCHAIN).is_covered:
        placing.counting()
        placing.confirm(order)
    elif not is_foreseen(order, timezone.now()):
        placing.unconfirm(order)
    elif not placing.is_coming(order):
        placing.counting()
        placing.come(order)


def is_foreseen(order: ChannelOrder, now: datetime) -> bool:
    """Deposits in blocks, and those whose fees were found to be enough a moment ago, cover the order."""
    rows = list(order.onchain_payments.all())
    first_at = min((row.foreseen_at for row in rows if row.foreseen_at is not None), default=None)
    if first_at is None or has_had_its_time(first_at, now):
        return False
    there = [row for row in rows if row.state == DepositState.CONFIRMED]
    there += [row for row in rows if row.state == DepositState.SEEN and row.foreseen_until and row.foreseen_until > now]
    return sum(row.amount_sat for row in there) >= order.order_total_sat


def has_had_its_time(first_at: datetime, now: datetime) -> bool:
    """What was to be in a block long ago is waited for no more, whatever is said of it; nor is what replaced it."""
    return now >= first_at + patience()


def patience() -> timedelta:
    """Twice the time in which such a fee should bring it into a block."""
    return blocks.lasting(2 * settings.FUNDING_CONF_TARGET)
