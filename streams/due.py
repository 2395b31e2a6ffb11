"""When to look at the clock, and what to hand out then. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

#: The net below nudges and due times that we have not heard of.
POLL_SECONDS: Final = 5.0
#: An order that stays due is in other hands, or its look failed: it is not handed out again at once.
HELD_BACK_SECONDS: Final = 1.0


class Due:
    """Hands out orders that are due, none twice within HELD_BACK_SECONDS."""

    def __init__(self) -> None:
        self._given: dict[UUID, float] = {}

    def fresh(self, due: Iterable[UUID], now: float) -> list[UUID]:
        """Those of `due` that were not handed out just before; `now` on any steady clock."""
        self._given = {key: at for key, at in self._given.items() if now - at < HELD_BACK_SECONDS}
        fresh = [order_id for order_id in due if order_id not in self._given]
        self._given |= dict.fromkeys(fresh, now)
        return fresh

    def wait_seconds(self, next_due_at: datetime | None, now: datetime) -> float:
        """Until the earliest due time, but never longer than the net's mesh; soon, while some are held back."""
        longest = HELD_BACK_SECONDS if self._given else POLL_SECONDS
        if next_due_at is None:
            return longest
        return min(longest, max(0.0, (next_due_at - now).total_seconds()))
