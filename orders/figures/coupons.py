"""What coupons bring, and what they cost: of each the orders that were quoted with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders import queries
from orders.figures.asking import rows, words
from orders.figures.period import Period


@dataclass(frozen=True, slots=True)
class CouponSum:
    """The orders of one coupon, as they stand now. Sold: their channel became usable, so that fees are earned."""

    coupon_id: int
    quoted: int = 0
    #: Those that were sold or may still be: they count for how often it may be used.
    used: int = 0
    sold: int = 0
    sold_sat: int = 0
    #: What those that were sold have paid in fees, and what the coupon took off that.
    fees_sat: int = 0
    discount_sat: int = 0


_COUPONS: Final = """
SELECT coupon_id, count(*), count(*) FILTER (WHERE state = ANY(%(used)s)),
       count(*) FILTER (WHERE opened_at IS NOT NULL),
       coalesce(sum(lsp_balance_sat + client_balance_sat) FILTER (WHERE opened_at IS NOT NULL), 0)::bigint,
       coalesce(sum(fee_total_sat) FILTER (WHERE opened_at IS NOT NULL), 0)::bigint,
       coalesce(sum(discount_sat) FILTER (WHERE opened_at IS NOT NULL), 0)::bigint
FROM orders_channelorder
WHERE coupon_id IS NOT NULL AND created_at >= %(since)s AND created_at < %(until)s
GROUP BY coupon_id ORDER BY 4 DESC, 1
"""
_EVER: Final = {"since": "-infinity", "until": "infinity"}


def coupons(period: Period | None = None) -> list[CouponSum]:
    """The coupons with which something was quoted in the period, those that sold most first; None: of all time.

    By their numbers: a code is worth money, and more people read figures than may spend it.
    """
    asked = period.given if period else _EVER
    return [CouponSum(*row) for row in rows(_COUPONS, **asked, used=words(queries.COUPON_USED))]
