"""The same figures slot by slot, for whoever draws them: hours, days, weeks (from Monday) or months of UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from orders.figures.asking import rows
from orders.figures.openings import SECONDS
from orders.figures.period import Period


class Unit(StrEnum):
    """How long a slot is. By PostgreSQL's words."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


#: Up to so long a period has slots of this unit: never more of them than can be told apart.
_UP_TO: Final = (
    (Unit.HOUR, timedelta(days=2)),
    (Unit.DAY, timedelta(days=100)),
    (Unit.WEEK, timedelta(days=740)),
)


@dataclass(frozen=True, slots=True)
class Sold:
    """What was paid in a slot, and what became usable in it. `at`: when it begins, as in all that follow."""

    at: datetime
    paid: int
    paid_sat: int
    opened: int
    opened_sat: int
    fees_sat: int


@dataclass(frozen=True, slots=True)
class Waited:
    """How long the buyers waited whose channels became usable in a slot."""

    at: datetime
    orders: int
    p50_seconds: int
    p95_seconds: int


@dataclass(frozen=True, slots=True)
class Tried:
    """Attempts that were begun in a slot, by how they ended."""

    at: datetime
    confirmed: int
    under_way: int
    failed: int


_SOLD: Final = """
SELECT at, sum(paid), sum(paid_sat)::bigint, sum(opened), sum(opened_sat)::bigint, sum(fees_sat)::bigint
FROM (
    SELECT date_trunc(%(unit)s, paid_at AT TIME ZONE 'UTC') AS at, 1 AS paid, order_total_sat AS paid_sat,
           0 AS opened, 0 AS opened_sat, 0 AS fees_sat
    FROM orders_channelorder WHERE paid_at >= %(since)s AND paid_at < %(until)s
    UNION ALL
    SELECT date_trunc(%(unit)s, opened_at AT TIME ZONE 'UTC'),
           0, 0, 1, lsp_balance_sat + client_balance_sat, fee_total_sat
    FROM orders_channelorder WHERE opened_at >= %(since)s AND opened_at < %(until)s
) AS each GROUP BY at ORDER BY at
"""

_WAITED: Final = f"""
SELECT date_trunc(%(unit)s, opened_at AT TIME ZONE 'UTC') AS at, count(*),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY {SECONDS}),
       percentile_disc(0.95) WITHIN GROUP (ORDER BY {SECONDS})
FROM orders_channelorder
WHERE opened_at >= %(since)s AND opened_at < %(until)s AND paid_at IS NOT NULL
GROUP BY 1 ORDER BY 1
"""  # noqa: S608  our own words only

_TRIED: Final = """
SELECT date_trunc(%(unit)s, created_at AT TIME ZONE 'UTC') AS at, count(*) FILTER (WHERE state = 'confirmed'),
       count(*) FILTER (WHERE state NOT IN ('confirmed', 'failed')), count(*) FILTER (WHERE state = 'failed')
FROM orders_channelopening WHERE created_at >= %(since)s AND created_at < %(until)s
GROUP BY 1 ORDER BY 1
"""


def unit_of(period: Period) -> Unit:
    """Of the slots that a period of this length is drawn in."""
    length = period.until - period.since
    return next((unit for unit, longest in _UP_TO if length <= longest), Unit.MONTH)


def slots(period: Period, unit: Unit) -> list[datetime]:
    """When each slot of the period begins; the first may begin before it."""
    found, at = [], slot_of(period.since.astimezone(UTC), unit)
    while at < period.until:
        found.append(at)
        at = _next(at, unit)
    return found


def slot_of(at: datetime, unit: Unit) -> datetime:
    """When the slot begins that this moment of UTC is in."""
    if unit is Unit.HOUR:
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit is Unit.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit is Unit.MONTH else day


def _next(at: datetime, unit: Unit) -> datetime:
    if unit is Unit.MONTH:
        return (at + timedelta(days=31)).replace(day=1)
    return at + {Unit.HOUR: timedelta(hours=1), Unit.DAY: timedelta(days=1), Unit.WEEK: timedelta(days=7)}[unit]


def sold(period: Period, unit: Unit) -> list[Sold]:
    """The slots in which something was paid or became usable."""
    return [Sold(at.replace(tzinfo=UTC), *sums) for at, *sums in rows(_SOLD, **period.given, unit=str(unit))]


def waited(period: Period, unit: Unit) -> list[Waited]:
    """The slots in which a channel became usable that was paid for."""
    return [Waited(at.replace(tzinfo=UTC), *told) for at, *told in rows(_WAITED, **period.given, unit=str(unit))]


def tried(period: Period, unit: Unit) -> list[Tried]:
    """The slots in which an attempt was begun."""
    return [Tried(at.replace(tzinfo=UTC), *told) for at, *told in rows(_TRIED, **period.given, unit=str(unit))]
