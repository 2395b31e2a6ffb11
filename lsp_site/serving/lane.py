"""Purchases wait for our node, so they have threads of their own: what does not need it never waits for it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

#: None of those that have begun has ended for so long: the node hangs, and nobody needs to wait longer.
STUCK_SECONDS: Final = 3.0
#: However well the others go on.
MOST_SECONDS: Final = 10.0
_POSTED = re.compile(rb"(?:\r\n)?POST ([^ ?#]*)")
#: How the paths of purchases end, at whatever root.
_PURCHASES: Final = (b"/channel/buy", b"/create_order")

Job = TypeVar("Job")


def waits_for_node(head: bytes) -> bool:
    """The request with this head is a purchase, however its path is written: it must find no other thread."""
    posted = _POSTED.match(head)
    return posted is not None and unquote_to_bytes(posted[1]).rstrip(b"/").endswith(_PURCHASES)


class Lane(Generic[Job]):
    """So many jobs at a time, the others in the order in which they came."""

    def __init__(self, at_once: int, begin: Callable[[Job], None]) -> None:
        self._free = at_once
        self._begin = begin
        self._waiting: deque[tuple[float, Job]] = deque()
        self._ended_at = 0.0  # of the monotonic clock
        self._lock = Lock()

    def add(self, job: Job) -> None:
        """It begins when its turn comes."""
        with self._lock:
            self._waiting.append((time.monotonic(), job))
            self._go_on()

    def ended(self) -> None:
        """One that had begun is done."""
        with self._lock:
            self._free += 1
            self._ended_at = time.monotonic()
            self._go_on()

    def _go_on(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            self._begin(self._waiting.popleft()[1])

    def overdue(self) -> Iterator[Job]:
        """Those whose turn does not come, the oldest first. They wait no more."""
        now = time.monotonic()
        patience = STUCK_SECONDS if now - self._ended_at > STUCK_SECONDS else MOST_SECONDS
        while (job := self._overdue(now - patience)) is not None:
            yield job

    def _overdue(self, since: float) -> Job | None:
        with self._lock:
            return self._waiting.popleft()[1] if self._waiting and self._waiting[0][0] <= since else None
