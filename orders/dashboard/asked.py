"""Which period an address asks for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from orders.figures import Period

#: By their names: so many days, today among them.
LENGTHS: Final = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
USUAL: Final = "month"
OWN: Final = "own"
#: Nobody has sold channels for longer; and the slots of a chart are to be told apart.
_MOST: Final = timedelta(days=20 * 366)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is shown. `name`: one of LENGTHS, or `own`; `fault`: why it is not what was asked for."""

    name: str
    period: Period
    fault: str = ""

    @property
    def first(self) -> date:
        """Its first day."""
        return self.period.since.date()

    @property
    def last(self) -> date:
        """Its last day, which may not be over."""
        return (self.period.until - timedelta(microseconds=1)).date()


class _NoPeriod(Exception):
    """Why it is none."""


def asked(query: Mapping[str, str], now: datetime) -> Asked:
    """`?period=week`, or `?from=2026-03-01&to=2026-03-31`, both days among it; anything else is the usual one."""
    now = now.astimezone(UTC)
    if query.get("from") or query.get("to"):
        try:
            return Asked(OWN, _own(query.get("from", ""), query.get("to", ""), now))
        except _NoPeriod as fault:
            return Asked(USUAL, _named(USUAL, now), str(fault))
    name = query.get("period", USUAL)
    if name not in LENGTHS:
        return Asked(USUAL, _named(USUAL, now), f"There is no period “{name[:20]}”.")
    return Asked(name, _named(name, now))


def _named(name: str, now: datetime) -> Period:
    """Whole days, but that today is not over; a day alone is the last 24 hours."""
    if name == "day":
        hour = now.replace(minute=0, second=0, microsecond=0)
        return Period(hour - timedelta(hours=23), now)
    return Period(_begins(now.date() - timedelta(days=LENGTHS[name] - 1)), now)


def _own(since: str, until: str, now: datetime) -> Period:
    """Raises: _NoPeriod."""
    last = _day(until) if until else now.date()
    first = _day(since) if since else last
    if first > last:
        raise _NoPeriod("The first day is after the last one.")
    if last - first > _MOST:
        raise _NoPeriod("That is more than twenty years.")
    begins, ends = _begins(first), _begins(last) + timedelta(days=1)
    return Period(begins, max(begins, min(ends, now)))


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise _NoPeriod(f"“{text[:20]}” is no day: write it like 2026-03-01.") from None
    if not 2009 <= found.year <= 9000:
        raise _NoPeriod("There were no channels then.")
    return found


def _begins(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
