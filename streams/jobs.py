"""Orders that want a look: each is in the queue once, and a few threads look at them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from django.db import close_old_connections
from django.utils import timezone

from orders import outage, queries
from orders.advance import advance
from orders.errors import DATABASE_TROUBLE
from orders.openings import turns
from orders.openings.turns import Turn
from streams.hands import has_ended

log = logging.getLogger(__name__)

#: So many for each thread are no queue, however slow the machine.
_SOON: Final = 2
#: One of so many is the longest waiting, whoever's it is: many clients that come for the first time keep no other from
#: his turn for ever. Prime to the length of _TURNS, so that each rank has its share.
_LONGEST_WAITING: Final = 5


class Rank(IntEnum):
    """What goes before what."""

    NEWS = 0  # somebody has just paid, claimed, or asked; what follows from each step of an order is news, too
    FIRST = 1  # a claimed order for which nothing was tried yet: somebody has paid, and waits
    MONEY = 2  # looked at once more, since a block has come or its time: to settle, publish, return, count
    SUSPECT = 3  # news and first attempts of a client whose payments have lately had us work for nothing
    REPEATED = 4


#: Whose turn it is, round and round; where none of that rank waits, the first that does. Strangers make news without
#: end, first attempts, and orders that every block looks at: nothing of that keeps another rank from its turn.
_TURNS: Final = (
    Rank.NEWS, Rank.FIRST, Rank.NEWS, Rank.MONEY,
    Rank.NEWS, Rank.FIRST, Rank.SUSPECT, Rank.MONEY,
    Rank.NEWS, Rank.FIRST, Rank.NEWS, Rank.SUSPECT,
    Rank.NEWS, Rank.FIRST, Rank.MONEY, Rank.REPEATED,
)  # fmt: skip
#: Of these, clients take turns: one's first order goes before another's second.
FAIR: Final = frozenset({Rank.NEWS, Rank.FIRST})
#: Whose looks may go on to begin an attempt, which is long: they leave a thread to the others.
_OPENING: Final = frozenset({Rank.FIRST, Rank.SUSPECT, Rank.REPEATED})


class Wait(NamedTuple):
    """Since when an order waits, and how many of its client's are before it."""

    since: float
    before: int


class Waiting:
    """Which orders wait and which are being looked at: by rank, then by how many of its client's go before each.

    Among those alike the longest waiting first. It knows no threads.

    Now and then a lower rank has its turn, so that none keeps another for long. A quarter of those `at_once` is kept
    for news, and one more for looks that begin no attempt. A look that waits for a peer is not among them: `aside`.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.at_once = at_once
        self._clock = clock
        #: The longest waiting first.
        self._waiting: dict[Rank, dict[UUID, Wait]] = {rank: {} for rank in Rank}
        self._running: dict[UUID, Rank] = {}
        self._aside: set[UUID] = set()
        self._again: dict[UUID, tuple[Rank, int]] = {}
        self._turn = 0
        self._taken = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + len(self._again)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._running or any(order_id in waiting for waiting in self._waiting.values())

    @property
    def running(self) -> int:
        """How many are being looked at."""
        return len(self._running) + len(self._aside)

    def is_running(self, order_id: UUID) -> bool:
        """The order is being looked at."""
        return order_id in self._running or order_id in self._aside

    def is_aside(self, order_id: UUID) -> bool:
        """Its look waits for a peer, or has."""
        return order_id in self._aside

    def add(self, order_id: UUID, rank: Rank = Rank.MONEY, before: int = 0) -> None:
        """The order will be looked at once from now on, however often it is added until then.

        `before`: how many of its client's go before it.
        """
        if self.is_running(order_id):
            self._again[order_id] = rank, before  # what the running look has read may be older than the reason to look
            return
        for waiting in self._waiting.values():
            if order_id in waiting:
                if waiting is self._waiting[rank]:
                    return
                del waiting[order_id]
        self._waiting[rank][order_id] = Wait(self._clock(), before)

    def take(self) -> UUID | None:
        """The next order is being looked at; None where nothing waits that may, or enough run."""
        for rank in self._ranked():
            waiting = self._waiting[rank]
            if waiting and self._may_begin(rank):
                self._turn = (self._turn + 1) % len(_TURNS)
                order_id = self._next(rank)
                del waiting[order_id]
                self._running[order_id] = rank
                return order_id
        return None

    def _next(self, rank: Rank) -> UUID:
        waiting = self._waiting[rank]
        self._taken += 1
        if rank not in FAIR or self._taken % _LONGEST_WAITING == 0:
            return next(iter(waiting))
        return min(waiting, key=lambda order_id: waiting[order_id].before)

    def waits_seconds(self, *ranks: Rank, only_first: bool = False) -> float:
        """For how long the longest of these has waited; 0 where no more do than are soon looked at.

        `only_first`: without those that others of their client's go before.
        """
        waits = [wait for rank in ranks for wait in self._waiting[rank].values()]
        since = [wait.since for wait in waits if not (only_first and wait.before)]
        return self._clock() - min(since) if len(since) > self.at_once * _SOON else 0.0

    def _ranked(self) -> list[Rank]:
        return [_TURNS[self._turn], *Rank]

    def _may_begin(self, rank: Rank) -> bool:
        if len(self._running) >= self.at_once:
            return False
        if rank is Rank.NEWS:
            return True
        others = sum(1 for running in self._running.values() if running is not Rank.NEWS)
        openings = sum(1 for running in self._running.values() if running in _OPENING)
        kept = self.at_once // 4
        return others < self.at_once - kept and (rank not in _OPENING or openings < max(1, self.at_once - kept - 1))

    def step_aside(self, order_id: UUID) -> None:
        """Its look waits for a peer from now on, and keeps no other look from its turn."""
        if self._running.pop(order_id, None) is not None:
            self._aside.add(order_id)

    def done(self, order_id: UUID) -> None:
        """The look has ended; the order waits anew where it was added meanwhile."""
        self._running.pop(order_id, None)
        self._aside.discard(order_id)
        if (again := self._again.pop(order_id, None)) is not None:
            self.add(order_id, *again)

    def forget(self) -> None:
        """Nothing waits any more; what runs goes on."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._again.clear()


class Jobs:
    """The threads that advance orders. Everything but the look itself happens in the event loop's thread."""

    def __init__(
        self, *, threads: int, look: Callable[[UUID], None], ended: Callable[[UUID], None], aside: int = 0
    ) -> None:
        self.orders = Waiting(threads)
        self._look = look
        self._ended = ended
        self._threads = ThreadPoolExecutor(threads + aside, thread_name_prefix="advance")
        #: Since when each look runs, and each that stepped aside has.
        self._since: dict[UUID, float] = {}
        self._aside_since: dict[UUID, float] = {}

    def add(self, order_id: UUID, rank: Rank = Rank.MONEY, before: int = 0) -> None:
        """The order will be looked at, at once where a thread is free; as `Waiting.add`."""
        self.orders.add(order_id, rank, before)
        self._begin()

    def step_aside(self, order_id: UUID) -> None:
        """Its look waits for a peer from now on; the next may begin."""
        self.orders.step_aside(order_id)
        if self._since.pop(order_id, None) is not None:
            self._aside_since[order_id] = time.monotonic()
        self._begin()

    def longest_seconds(self) -> tuple[float, float]:
        """For how long the longest look runs, and the longest of those that stepped aside."""
        now = time.monotonic()
        looks, aside = (now - min(since.values(), default=now) for since in (self._since, self._aside_since))
        return looks, aside

    def _begin(self) -> None:
        while (order_id := self.orders.take()) is not None:
            self._since[order_id] = time.monotonic()
            job = asyncio.get_running_loop().run_in_executor(self._threads, self._look, order_id)
            job.add_done_callback(partial(self._done, order_id))

    def _done(self, order_id: UUID, job: asyncio.Future[None]) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("order=%s the look failed: %r", order_id, error)
        self._since.pop(order_id, None)
        self._aside_since.pop(order_id, None)
        self.orders.done(order_id)
        self._ended(order_id)
        self._begin()

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where a look still runs after so long."""
        self.orders.forget()
        return await has_ended(self._threads, patience_seconds)


def advance_if_due(order_id: UUID, turn: Turn = turns.HERE) -> bool:
    """The order was advanced, unless it is not due (any more); False where somebody else is at it. Logs what fails.

    A nudge makes an order due, so an echo of moves that are dealt with already ends here. While the node is away it
    stays due, and the clock hands it out afterwards.
    """
    if outage.of_node().is_on:
        return True
    close_old_connections()
    try:
        if queries.is_due(order_id, timezone.now()):
            return advance(order_id, turn=turn)
    except DATABASE_TROUBLE as error:
        log.warning("order=%s the database: %s", order_id, error)
    except Exception:
        log.exception("order=%s could not be advanced", order_id)
    finally:
        close_old_connections()
    return True
