"""A deposit that counts only after its order's time is judged anew: the chain fees of the quote hold no longer."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from orders import money, pricing, queries
from orders.models import ChannelOrder, OnchainPayment
from orders.models.order import Rail
from orders.states import At


def fee_today_sat(order: ChannelOrder) -> int:
    """What we would ask for the same channel now: its chain part at today's rate, the rest as it was quoted."""
    seen = queries.snapshot()
    return pricing.fee_at_rate_sat(
        fee_total_sat=order.fee_total_sat,
        chain_sat=order.open_fee_sat + order.close_fee_sat,
        quoted_sat_per_kw=order.quoted_sat_per_kw,
        sat_per_kw=seen.estimate_sat_per_kw if seen else order.quoted_sat_per_kw,
    )


def is_outpriced(order: ChannelOrder, now: datetime) -> bool:
    """Its deposits are deep enough, but too late: today it would cost more than what was paid and the slack."""
    if now <= order.expires_at or not money.of(order, At.DEEP, rail=Rail.ONCHAIN).is_covered:
        return False
    return fee_today_sat(order) * 100 > order.fee_total_sat * (100 + _slack_percent(order))


def in_time(order: ChannelOrder) -> list[OnchainPayment]:
    """Its deposits that the network had while the quote held, whatever has become of them."""
    return [row for row in order.onchain_payments.all() if row.seen_at <= order.expires_at]


def _slack_percent(order: ChannelOrder) -> int:
    """Who has paid all of it in time waits for blocks, and has no choice any more; who pays later has seen the fees.

    Of the fee alone: a share of the total would be more than the whole fee where much is pushed.
    """
    came_sat = sum(row.received_sat(At.SEEN, height=0, depth=0) for row in in_time(order))
    is_in_time = came_sat >= order.order_total_sat
    return int(settings.DEEP_LATE_SLACK_PERCENT if is_in_time else settings.LATE_PRICE_SLACK_PERCENT)
