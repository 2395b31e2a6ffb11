"""From when to when something is counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
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
    def given(self) -> dict[str, Any]:
        """As the statements want it."""
        return {"since": self.since, "until": self.until}
