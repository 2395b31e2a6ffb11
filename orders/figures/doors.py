"""By which door orders came, and from which wallets, as far as these say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders.figures.asking import rows
from orders.figures.period import Period
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


_SUMS: Final = """
       count(*), count(*) FILTER (WHERE paid_at IS NOT NULL), count(*) FILTER (WHERE opened_at IS NOT NULL),
       coalesce(sum(lsp_balance_sat + client_balance_sat) FILTER (WHERE opened_at IS NOT NULL), 0)::bigint,
       coalesce(sum(fee_total_sat) FILTER (WHERE opened_at IS NOT NULL), 0)::bigint
FROM orders_channelorder
WHERE created_at >= %(since)s AND created_at < %(until)s
"""
_DOORS: Final = f"SELECT door, {_SUMS} GROUP BY door"
_WALLETS_SQL: Final = f"""SELECT token, {_SUMS} AND coupon_id IS NULL AND token <> ''
GROUP BY token ORDER BY 2 DESC, 1 LIMIT %(most)s"""


def doors(period: Period) -> list[DoorSum]:
    """Each door with what was quoted by it in the period."""
    found = {row[0]: row[1:] for row in rows(_DOORS, **period.given)}
    return [DoorSum(door, *found.get(str(door), ())) for door in Door]


def wallets(period: Period) -> list[WalletSum]:
    """The ten wallets that were quoted most in the period."""
    return [WalletSum(*row) for row in rows(_WALLETS_SQL, **period.given, most=_WALLETS)]
