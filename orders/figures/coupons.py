"""What coupons bring, and what they cost: of each the orders that were quoted with it."""

from __future__ import annotations

from dataclasses import dataclass

from orders.figures import kinds
from orders.figures.period import Period
from orders.figures.tally import summed


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


def coupons(period: Period | None = None) -> list[CouponSum]:
    """The coupons with which something was quoted in the period, those that sold most first; None: of all time.

    By their numbers: a code is worth money, and more people read figures than may spend it.
    """
    found = [CouponSum(int(coupon), *sums) for _, (coupon,), sums in summed(kinds.COUPONS, period)]
    return sorted(found, key=lambda each: (-each.sold, each.coupon_id))
