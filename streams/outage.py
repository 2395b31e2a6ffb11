"""Something that we need is away: that is said once, and it is tried again and again."""

from __future__ import annotations

import logging


class Outage:
    """One need, and whether it is met. Pauses between attempts double: 1 s, 2 s, … 15 s."""

    def __init__(
        self, log: logging.Logger, what: str, *, first_seconds: float = 1.0, longest_seconds: float = 15.0
    ) -> None:
        self._log = log
        self._what = what
        self._first_seconds = self._next_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self.is_on = False

    def begun(self, problem: BaseException) -> None:
        """It is away. Repeat: safe, only the first time is worth a line."""
        if not self.is_on:
            self.is_on = True
            self._log.warning("%s cannot be used, trying again until it can: %s", self._what, problem)

    def pause_seconds(self) -> float:
        """How long to wait before the next attempt."""
        pause = self._next_seconds
        self._next_seconds = min(pause * 2, self._longest_seconds)
        return pause

    def over(self) -> None:
        """It is there, and was used. What is said then is its user's to say."""
        self.is_on = False
        self._next_seconds = self._first_seconds
