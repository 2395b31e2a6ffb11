"""From when to when something is counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Period:
    """From a moment on, and before another."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        """Raises: ValueError when it ends before it begins, or a moment has no time zone."""
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        if self.until < self.since:
            raise ValueError("the period ends before it begins")

    @classmethod
    def last(cls, length: timedelta, now: datetime) -> Period:
        """So long, up to now."""
        return cls(now - length, now)

    @property
    def whole_days(self) -> tuple[date, date]:
        """The first and the last day of UTC that it touches."""
        first = self.since.astimezone(UTC).date()
        last = (self.until - timedelta(microseconds=1)).astimezone(UTC).date()
        return first, max(first, last)

    @property
    def of_days(self) -> Period:
        """From the beginning of the first to the end of the last."""
        first, last = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in self.whole_days)
        return Period(first, last + timedelta(days=1))

    @property
    def given(self) -> dict[str, Any]:
        """As the statements want it."""
        return {"since": self.since, "until": self.until}
