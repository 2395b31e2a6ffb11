"""By which door orders came, and from which wallets, as far as these say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders.figures import kinds
from orders.figures.period import Period
from orders.figures.tally import summed
from orders.models.order import Door

#: Wallets beyond those that were quoted most are none of their own.
_WALLETS: Final = 10


@dataclass(frozen=True, slots=True)
class DoorSum:
    """The orders of one door, as they stand now. Sold: their channel became usable, so that fees are earned."""

    door: Door
    quoted: int = 0
    paid: int = 0
    sold: int = 0
    sold_sat: int = 0
    fees_sat: int = 0


@dataclass(frozen=True, slots=True)
class WalletSum:
    """The same of the orders with one token that names a wallet: a coupon's code names none, and is worth money."""

    token: str
    quoted: int = 0
    paid: int = 0
    sold: int = 0
    sold_sat: int = 0
    fees_sat: int = 0


def doors(period: Period) -> list[DoorSum]:
    """Each door with what was quoted by it in the period."""
    found = {door: sums for _, (door,), sums in summed(kinds.DOORS, period)}
    return [DoorSum(door, *found.get(str(door), ())) for door in Door]


def wallets(period: Period) -> list[WalletSum]:
    """The ten wallets that were quoted most in the period."""
    return [WalletSum(token, *sums) for _, (token,), sums in summed(kinds.WALLETS, period, most=_WALLETS)]
