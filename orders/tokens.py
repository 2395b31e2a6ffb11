"""What a buyer shows with a purchase: a coupon, or who the wallet is. Pure; anything else is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from orders.errors import TokenNotTaken
from orders.options import Limits
from orders.pricing import Tariff

LONGEST_TOKEN: Final = 200
#: One that nobody guesses: a code is worth money.
SHORTEST_CODE: Final = 8
LONGEST_CODE: Final = 64


@dataclass(frozen=True, slots=True)
class Coupon:
    """What a coupon gives. None: as the service has it."""

    code: str
    discount_percent: int = 0
    is_active: bool = True
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    min_channel_sat: int | None = None
    max_channel_sat: int | None = None
    max_client_balance_sat: int | None = None
    min_expiry_blocks: int | None = None
    max_expiry_blocks: int | None = None
    base_fee_sat: int | None = None
    rate_ppm_per_1008_blocks: int | None = None
    minimum_fee_sat: int | None = None

    def limits(self, of: Limits) -> Limits:
        """The sizes and terms that it opens, or closes."""
        return replace(of, **_own(self, Limits))

    def tariff(self, of: Tariff) -> Tariff:
        """The price before its discount."""
        own = _own(self, Tariff)
        if self.min_expiry_blocks is not None:  # the term that a shorter one costs as much as
            own["least_blocks"] = self.min_expiry_blocks
        return replace(of, **own)


@dataclass(frozen=True, slots=True)
class Identification:
    """A wallet that says which it is: it is sold to like any other."""

    name: str


def accept(token: str, coupons: Iterable[Coupon], patterns: Iterable[str], now: datetime) -> Coupon | Identification:
    """What the token is. A wallet's name is told to staff, in terminals too: it has nothing that these would obey.

    Raises: TokenNotTaken.
    """
    for coupon in coupons:
        if coupon.code == token:
            return _valid(coupon, now)
    if len(token) <= LONGEST_TOKEN and token.isprintable() and any(fnmatchcase(token, pattern) for pattern in patterns):
        return Identification(token)
    raise TokenNotTaken("This code is not one of ours.")


def _valid(coupon: Coupon, now: datetime) -> Coupon:
    if not coupon.is_active:
        raise TokenNotTaken("This code is not one of ours.")
    if coupon.starts_at is not None and now < coupon.starts_at:
        raise TokenNotTaken("This code is not valid yet.")
    if coupon.ends_at is not None and coupon.ends_at <= now:
        raise TokenNotTaken("This code is not valid any more.")
    return coupon


def _own(coupon: Coupon, kind: type[Limits] | type[Tariff]) -> dict[str, int]:
    given = {name: getattr(coupon, name, None) for name in kind.__dataclass_fields__}
    return {name: value for name, value in given.items() if value is not None}
