"""What was sold, and for how much. Days and months are those of UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from orders.figures import kinds, series
from orders.figures.period import Period
from orders.figures.tally import Unit, summed


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


def by_day(period: Period) -> list[Day]:
    """The days of the period on which something was paid or became usable."""
    return [
        Day(each.at.date(), each.paid, each.paid_sat, each.opened, each.opened_sat, each.fees_sat)
        for each in series.sold(period, Unit.DAY)
    ]


def by_month(period: Period) -> list[Month]:
    """The months of the period in which a channel became usable, or was closed."""
    found: dict[date, list[int]] = {}
    for at, _, (number, sat, *_) in summed(kinds.OPENED, period, Unit.MONTH):
        _add(found, at, [number, sat, 0, 0])
    for at, _, (number, _, sat) in summed(kinds.CLOSED, period, Unit.MONTH):
        _add(found, at, [0, 0, number, sat])
    return [Month(month, *found[month]) for month in sorted(found)]


def _add(found: dict[date, list[int]], at: datetime | None, more: list[int]) -> None:
    if at is not None:
        before = found.setdefault(at.date(), [0] * len(more))
        before[:] = [one + other for one, other in zip(before, more, strict=True)]


def earned() -> Earned:
    """From the first day on: none of it ever gets less."""
    found = [sums[:3] for _, _, sums in summed(kinds.OPENED)]
    return Earned(*(sum(column) for column in zip(*found, strict=True))) if found else Earned(0, 0, 0)
