"""Sums over days: those that are over and kept, and for the rest of the time what is counted now.

A day is kept when it is over, by the round of the figures (orders.rollups.tallies). Whatever changes what a kept day
comes to says so in the same transaction: triggers of the database write the day into `orders_staleday`, and from then
on it is counted anew until the round has kept it anew. So an answer never depends on how far the round has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from orders.figures.asking import rows
from orders.figures.kinds import KINDS, MEANING, Kind
from orders.figures.period import Period
from orders.models import RollUpName

_DAY: Final = timedelta(days=1)
_seen: Final[ContextVar[tuple[date | None, list[date]] | None]] = ContextVar("kept", default=None)
#: Before and after everything: of all time.
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9000, 1, 1, tzinfo=UTC)
EVER: Final = Period(_BEGIN, _END)


class Unit(StrEnum):
    """How long a slot is. By PostgreSQL's words."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Sum(NamedTuple):
    """One row of an answer. `at`: when its slot begins, in UTC without a zone; None where slots were not asked for."""

    at: datetime | None
    words: list[str]
    sums: list[int]


@dataclass(frozen=True, slots=True)
class Cover:
    """Which of a period's days are kept, and what is counted now: stretches that do not touch."""

    first: date
    last: date
    stale: Sequence[date]
    counted: Sequence[Period]


_KEPT: Final = """
SELECT (SELECT through FROM orders_rollup WHERE name = %(name)s AND meaning = %(meaning)s),
       ARRAY(SELECT DISTINCT day FROM orders_staleday ORDER BY day)
"""


def kept() -> tuple[date | None, list[date]]:
    """The last day that is kept, and those up to it that are to be kept anew."""
    seen = _seen.get()
    if seen is not None:
        return seen
    [(through, stale)] = rows(_KEPT, name=RollUpName.FIGURES, meaning=MEANING)
    return through, stale


@contextmanager
def one_look() -> Iterator[None]:
    """Whoever tells many figures asks once which days are kept."""
    token = _seen.set(kept())
    try:
        yield
    finally:
        _seen.reset(token)


def cover(period: Period, through: date | None, stale: Iterable[date]) -> Cover:
    """How this period is answered while days are kept through that one, but for the stale ones."""
    first, last = _whole(period)
    last = min(last, through) if through else first - _DAY
    if first > last:
        return Cover(first, last, (), (period,))
    ours = [day for day in stale if first <= day <= last]
    stretches = [
        (period.since, midnight(first)),
        *((midnight(day), midnight(day + _DAY)) for day in ours),
        (midnight(last + _DAY), period.until),
    ]
    return Cover(first, last, ours, tuple(_joined(stretches)))


def _whole(period: Period) -> tuple[date, date]:
    """The first and the last day that are all in it; the last may be before the first."""
    since, until = period.since.astimezone(UTC), period.until.astimezone(UTC)
    first = since.date() if since == midnight(since.date()) else since.date() + _DAY
    return first, until.date() - _DAY


def midnight(day: date) -> datetime:
    """When a day of UTC begins."""
    return datetime.combine(day, time(), UTC)


def whole(days: Iterable[date]) -> list[Period]:
    """These days, as stretches that do not touch."""
    return _joined((midnight(day), midnight(day + _DAY)) for day in sorted(days))


def _joined(stretches: Iterable[tuple[datetime, datetime]]) -> list[Period]:
    """Without those that are empty; what touches is one."""
    joined: list[Period] = []
    for since, until in stretches:
        if since >= until:
            continue
        if joined and joined[-1].until >= since:
            joined[-1] = Period(joined[-1].since, until)
        else:
            joined.append(Period(since, until))
    return joined


def counted(kind: Kind, stretches: Sequence[Period], unit: Unit = Unit.DAY) -> tuple[str, dict[str, Any]]:
    """The statement that counts these stretches now, and what it is given."""
    within = " OR ".join(
        f"({kind.moment} >= %(since{number})s AND {kind.moment} < %(until{number})s)"
        for number in range(len(stretches))
    )
    moments = {
        f"{name}{number}": at
        for number, each in enumerate(stretches)
        for name, at in (("since", each.since), ("until", each.until))
    }
    at = f"date_trunc('{unit}', {kind.moment} AT TIME ZONE 'UTC')"
    return kind.counted.format(at=at, within=f"({within or 'false'})"), {**moments, **kind.given}


_STORED: Final = """
SELECT day::timestamp AS at, words, sums FROM orders_dayfigure
 WHERE figure = %(figure)s AND day >= %(first)s AND day <= %(last)s AND day <> ALL(%(stale)s::date[])
"""


def summed(kind: Kind, period: Period | None = None, unit: Unit | None = None, most: int | None = None) -> list[Sum]:
    """What the period comes to, or all time; in slots, where asked for, the first slot first.

    `most`: so many alone, those with the greatest first sum. Two statements.
    """
    asked = cover(period or EVER, *((None, ()) if unit is Unit.HOUR else kept()))
    now, given = counted(kind, asked.counted, Unit.HOUR if unit is Unit.HOUR else Unit.DAY)
    at = f"date_trunc('{unit}', at)" if unit else "NULL::timestamp"
    sums = ", ".join(f"sum(sums[{number}])" for number in range(1, kind.sums + 1))
    found = rows(
        f"""SELECT {at} AS at, words, ARRAY[{sums}]::bigint[] AS sums FROM ({_STORED} UNION ALL ({now})) AS each
            GROUP BY 1, 2 ORDER BY {"sum(sums[1]) DESC, 2" if most else "1, 2"} LIMIT %(most)s""",  # noqa: S608
        figure=kind.name,
        first=asked.first,
        last=asked.last,
        stale=list(asked.stale),
        most=most,
        **given,
    )
    return [Sum(*row) for row in found]


def astray(day: date) -> list[str]:
    """The kinds of which this day is kept as something else than it comes to now. Of a day that is kept."""
    found = []
    for kind in KINDS:
        now, given = counted(kind, [Period(midnight(day), midnight(day + _DAY))])
        stored = "SELECT words, sums FROM orders_dayfigure WHERE figure = %(figure)s AND day = %(day)s"
        live = f"SELECT words, sums FROM ({now}) AS each"  # noqa: S608  our own words only
        both = f"({stored} EXCEPT {live}) UNION ALL ({live} EXCEPT {stored}) LIMIT 1"
        if rows(both, figure=kind.name, day=day, **given):
            found.append(kind.name)
    return found
