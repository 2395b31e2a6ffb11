"""Orders that want a look: each is in the queue once, and a few threads look at them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

from django.db import close_old_connections
from django.utils import timezone

from orders import outage, queries
from orders.advance import advance
from orders.errors import DATABASE_TROUBLE
from streams.hands import has_ended

log = logging.getLogger(__name__)


class Waiting:
    """Which orders wait and which are being looked at; the longest waiting first. It knows no threads."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._waiting: dict[UUID, None] = {}  # a set that remembers the order
        self._running: set[UUID] = set()
        self._again: set[UUID] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    @property
    def running(self) -> int:
        """How many are being looked at."""
        return len(self._running)

    def add(self, order_id: UUID) -> None:
        """The order will be looked at once from now on, however often it is added until then."""
        if order_id in self._running:
            self._again.add(order_id)  # what the running look has read may be older than the reason to look
        else:
            self._waiting.setdefault(order_id)

    def take(self) -> UUID | None:
        """The next order is being looked at; None where nothing waits, or enough run."""
        if not self._waiting or len(self._running) >= self.at_once:
            return None
        order_id = next(iter(self._waiting))
        del self._waiting[order_id]
        self._running.add(order_id)
        return order_id

    def done(self, order_id: UUID) -> None:
        """The look has ended; the order waits anew where it was added meanwhile."""
        self._running.discard(order_id)
        if order_id in self._again:
            self._again.discard(order_id)
            self._waiting.setdefault(order_id)

    def forget(self) -> None:
        """Nothing waits any more; what runs goes on."""
        self._waiting.clear()
        self._again.clear()


class Jobs:
    """The threads that advance orders. Everything but the look itself happens in the event loop's thread."""

    def __init__(self, *, threads: int, look: Callable[[UUID], None], ended: Callable[[], None]) -> None:
        self.orders = Waiting(threads)
        self._look = look
        self._ended = ended
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="advance")

    def add(self, order_id: UUID) -> None:
        """The order will be looked at, at once where a thread is free."""
        self.orders.add(order_id)
        self._begin()

    def _begin(self) -> None:
        while (order_id := self.orders.take()) is not None:
            job = asyncio.get_running_loop().run_in_executor(self._threads, self._look, order_id)
            job.add_done_callback(partial(self._done, order_id))

    def _done(self, order_id: UUID, job: asyncio.Future[None]) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("order=%s the look failed: %r", order_id, error)
        self.orders.done(order_id)
        self._begin()
        self._ended()

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where a look still runs after so long."""
        self.orders.forget()
        return await has_ended(self._threads, patience_seconds)


def advance_if_due(order_id: UUID) -> None:
    """The order was advanced, unless it is not due (any more). What goes wrong is logged.

    A nudge makes an order due, so an echo of moves that are dealt with already ends here. While the node is away it
    stays due, and the clock hands it out afterwards.
    """
    if outage.of_node().is_on:
        return
    close_old_connections()
    try:
        if queries.is_due(order_id, timezone.now()):
            advance(order_id)
    except DATABASE_TROUBLE as error:
        log.warning("order=%s the database: %s", order_id, error)
    except Exception:
        log.exception("order=%s could not be advanced", order_id)
    finally:
        close_old_connections()
