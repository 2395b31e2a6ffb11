"""The same figures slot by slot, for whoever draws them: hours, days, weeks (from Monday) or months of UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from orders.figures import kinds
from orders.figures.kinds import Kind
from orders.figures.openings import cells
from orders.figures.period import Period
from orders.figures.tally import Sum, Unit, summed
from orders.figures.waiting import percentile

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
    paid, opened = _by_slot(kinds.PAID, period, unit), _by_slot(kinds.OPENED, period, unit)
    return [Sold(at, *_total(paid.get(at, ()), 2), *_total(opened.get(at, ()), 3)) for at in sorted(paid | opened)]


def _by_slot(kind: Kind, period: Period, unit: Unit) -> dict[datetime, list[Sum]]:
    found: dict[datetime, list[Sum]] = {}
    for each in summed(kind, period, unit):
        if each.at is not None:
            found.setdefault(each.at.replace(tzinfo=UTC), []).append(each)
    return found


def _total(found: Iterable[Sum], width: int) -> list[int]:
    return [sum(each.sums[column] for each in found) for column in range(width)]


def waited(period: Period, unit: Unit) -> list[Waited]:
    """The slots in which a channel became usable that was paid for."""
    slots_of = {at: cells(found) for at, found in _by_slot(kinds.OPENED, period, unit).items()}
    return [
        Waited(at, sum(number for _, number in found), percentile(found, 50) or 0, percentile(found, 95) or 0)
        for at, found in slots_of.items()
        if found
    ]


def tried(period: Period, unit: Unit) -> list[Tried]:
    """The slots in which an attempt was begun."""
    return [_tried(at, found) for at, found in _by_slot(kinds.TRIED, period, unit).items()]


def _tried(at: datetime, found: Iterable[Sum]) -> Tried:
    by_end = {"confirmed": 0, "failed": 0, "": 0}
    for each in found:
        state = each.words[0]
        by_end[state if state in by_end else ""] += each.sums[0]
    return Tried(at, by_end["confirmed"], by_end[""], by_end["failed"])
