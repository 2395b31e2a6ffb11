"""What was sold, and for how much. Days and months are those of UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from orders.figures.asking import rows
from orders.figures.period import Period


@dataclass(frozen=True, slots=True)
class Day:
    """What was paid on a day, and what became usable on it: fees are earned with the channel, not before."""

    day: date
    paid: int
    paid_sat: int
    opened: int
    opened_sat: int
    fees_sat: int


@dataclass(frozen=True, slots=True)
class Month:
    """The channels that became usable in a month, and those that were closed."""

    month: date
    opened: int
    opened_sat: int
    closed: int
    closed_sat: int


@dataclass(frozen=True, slots=True)
class Earned:
    """All that was ever delivered."""

    channels: int
    capacity_sat: int
    fees_sat: int


_BY_DAY: Final = """
SELECT day, sum(paid), sum(paid_sat)::bigint, sum(opened), sum(opened_sat)::bigint, sum(fees_sat)::bigint
FROM (
    SELECT (paid_at AT TIME ZONE 'UTC')::date AS day, 1 AS paid, order_total_sat AS paid_sat,
           0 AS opened, 0 AS opened_sat, 0 AS fees_sat
    FROM orders_channelorder WHERE paid_at >= %(since)s AND paid_at < %(until)s
    UNION ALL
    SELECT (opened_at AT TIME ZONE 'UTC')::date, 0, 0, 1, lsp_balance_sat + client_balance_sat, fee_total_sat
    FROM orders_channelorder WHERE opened_at >= %(since)s AND opened_at < %(until)s
) AS each GROUP BY day ORDER BY day
"""

_BY_MONTH: Final = """
SELECT month, sum(opened), sum(opened_sat)::bigint, sum(closed), sum(closed_sat)::bigint
FROM (
    SELECT date_trunc('month', opened_at AT TIME ZONE 'UTC')::date AS month,
           1 AS opened, lsp_balance_sat + client_balance_sat AS opened_sat, 0 AS closed, 0 AS closed_sat
    FROM orders_channelorder WHERE opened_at >= %(since)s AND opened_at < %(until)s
    UNION ALL
    SELECT date_trunc('month', closed_at AT TIME ZONE 'UTC')::date, 0, 0, 1, lsp_balance_sat + client_balance_sat
    FROM orders_channelorder WHERE closed_at >= %(since)s AND closed_at < %(until)s
) AS each GROUP BY month ORDER BY month
"""

_EARNED: Final = """
SELECT count(*), coalesce(sum(lsp_balance_sat + client_balance_sat), 0)::bigint, coalesce(sum(fee_total_sat), 0)::bigint
FROM orders_channelorder WHERE opened_at IS NOT NULL
"""


def by_day(period: Period) -> list[Day]:
    """The days of the period on which something was paid or became usable."""
    return [Day(*row) for row in rows(_BY_DAY, **period.given)]


def by_month(period: Period) -> list[Month]:
    """The months of the period in which a channel became usable, or was closed."""
    return [Month(*row) for row in rows(_BY_MONTH, **period.given)]


def earned() -> Earned:
    """From the first day on: none of it ever gets less."""
    [row] = rows(_EARNED)
    return Earned(*row)
