"""What each day came to, and how things stood at its end: for charts of any length. Days are those of UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.conf import settings

from orders.figures.asking import rows
from orders.figures.lives import PARTS_OF_LEGS
from orders.figures.parts import Parts, capital_cost_msat
from orders.figures.period import Period
from orders.figures.sold import ROUTED, USED

_DAY_SECONDS: Final = 86_400
_BOOKED: Final = (
    "sale_fees_msat", "open_cost_msat", "bump_cost_msat", "close_cost_msat", "refund_cost_msat", "refund_borne_msat",
    "losses_msat",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EarnedDay:
    """What was earned on a day."""

    day: date
    parts: Parts

    @property
    def profit_msat(self) -> int:
        """With routing fees, less what the capital has cost."""
        return self.parts.profit_msat


@dataclass(frozen=True, slots=True)
class RoutingDay:
    """What went through channels that we sold."""

    day: date
    forwards: int
    #: As it left our node.
    amount_msat: int
    fee_msat: int


@dataclass(frozen=True, slots=True)
class StockDay:
    """How channels and coins stood when the day was last looked at. None: the node was never seen before."""

    day: date
    samples: int
    sold_sat: int
    total_sat: int | None
    promised_sat: int | None
    free_sat: int | None
    available_sat: int | None
    #: At the worst moment of the day.
    least_available_sat: int | None
    reserved_sat: int
    deep_sat: int | None
    deep_coins: int | None
    leased_sat: int | None
    young_sat: int | None


@dataclass(frozen=True, slots=True)
class UptimeDay:
    """For how long of a day something gave signs of life, of the time that it could have."""

    day: date
    name: str
    up_seconds: int
    counted_seconds: int

    @property
    def up_permille(self) -> int:
        """Rounded down, so that only what was there all the time is 1000."""
        return self.up_seconds * 1000 // self.counted_seconds if self.counted_seconds else 0


#: Days that are added up, and after the last of them the books themselves; how much had gone into channels before.
_MONEY: Final = f"""
WITH rolled AS (SELECT coalesce((SELECT through FROM orders_rollup WHERE name = 'money'), '-infinity'::date) AS through)
SELECT day, channels_msat, channels_msat_seconds, {", ".join(_BOOKED)} FROM orders_moneyday, rolled
 WHERE day <= rolled.through AND day <= %(last)s
UNION ALL
SELECT day, coalesce(sum(amount_msat) FILTER (WHERE account = 'channels'), 0)::bigint,
       floor(coalesce(sum(amount_msat * extract(epoch FROM ((day + 1)::timestamp AT TIME ZONE 'UTC') - at))
                      FILTER (WHERE account = 'channels'), 0)), {PARTS_OF_LEGS}
  FROM (SELECT (e.at AT TIME ZONE 'UTC')::date AS day, e.at, e.kind, l.account, l.amount_msat
          FROM orders_entry e JOIN orders_leg l ON l.entry_id = e.id
         WHERE e.at >= (SELECT CASE WHEN isfinite(through) THEN (through + 1)::timestamp AT TIME ZONE 'UTC'
                                    ELSE '-infinity' END FROM rolled)
           AND e.at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC') AS each
 GROUP BY day ORDER BY day
"""  # noqa: S608  our own words only

_ROUTING: Final = f"""
WITH used AS MATERIALIZED ({USED})
SELECT day, sum(forwards)::bigint, sum(out_msat)::bigint, sum(in_msat - out_msat)::bigint
  FROM ({ROUTED}) AS each WHERE order_id IS NOT NULL GROUP BY day ORDER BY day
"""  # noqa: S608  our own words only

_STOCK: Final = """
SELECT day, samples, sold_sat, total_sat, promised_sat, free_sat, available_sat, least_available_sat, reserved_sat,
       deep_sat, deep_coins, leased_sat, young_sat
  FROM orders_stockday WHERE day >= %(first)s AND day <= %(last)s ORDER BY day
"""

_UPTIME: Final = """
SELECT day, name, up_seconds, counted_seconds
  FROM orders_uptimeday WHERE day >= %(first)s AND day <= %(last)s ORDER BY day, name
"""


def earned_by_day(period: Period, now: datetime) -> list[EarnedDay]:
    """Each day from the first that the books have on, also where nothing happened: capital was bound all the same.

    Two statements. What the capital has cost is rounded down, of each day.
    """
    first, last = period.whole_days
    last = min(last, now.astimezone(UTC).date())
    routed = {each.day: each.fee_msat for each in routing_by_day(period)}
    days = _running(rows(_MONEY, last=last), last, now)
    return [
        EarnedDay(day, replace(parts, routing_msat=routed.get(day, 0), capital_cost_msat=_cost_msat(parts)))
        for day, parts in days
        if day >= first
    ]


def _cost_msat(parts: Parts) -> int:
    return capital_cost_msat(parts.bound_msat_seconds, settings.CAPITAL_COST_PPM)


def _running(found: list[tuple[Any, ...]], last: date, now: datetime) -> Iterator[tuple[date, Parts]]:
    """Every day up to the last: what was in channels when it began is bound for the whole of it, or up to now."""
    by_day = {day: rest for day, *rest in found}
    day, in_channels_msat = min(by_day, default=last + timedelta(days=1)), 0
    while day <= last:
        moved_msat, moved_msat_seconds, *sums = by_day.get(day, [0] * (2 + len(_BOOKED)))
        ended = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        bound = in_channels_msat * _DAY_SECONDS + int(moved_msat_seconds)
        in_channels_msat += moved_msat
        if ended > now:
            bound -= in_channels_msat * ((ended - now) // timedelta(microseconds=1)) // 1_000_000
        yield day, Parts(**dict(zip(_BOOKED, sums, strict=True)), bound_msat_seconds=bound)
        day += timedelta(days=1)


def routing_by_day(period: Period) -> list[RoutingDay]:
    """The days on which something went through channels that we sold."""
    return [RoutingDay(*row) for row in rows(_ROUTING, **_days(period))]


def stock_by_day(period: Period) -> list[StockDay]:
    """The days of the period of which something is known."""
    return [StockDay(*row) for row in rows(_STOCK, **_days(period))]


def uptime_by_day(period: Period) -> list[UptimeDay]:
    """The days of the period, by each name that ever gave a sign of life before."""
    return [UptimeDay(*row) for row in rows(_UPTIME, **_days(period))]


def _days(period: Period) -> dict[str, date]:
    first, last = period.whole_days
    return {"first": first, "last": last}


def earned_ever(now: datetime) -> Parts:
    """All that was ever earned."""
    whole = Period(datetime(2009, 1, 3, tzinfo=UTC), now)
    days = earned_by_day(whole, now)
    parts = sum((each.parts for each in days), Parts())
    return replace(parts, capital_cost_msat=_cost_msat(parts))
