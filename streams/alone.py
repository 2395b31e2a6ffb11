"""What waits for peers, in a process of the worker's: only while no streams process is at work."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import django.db
import psycopg
from django.conf import settings
from django.utils import timezone

from lightning import connection as lightning
from orders import locks, outage, queries, reconcile
from streams import standby
from streams.connected import Connected
from streams.hands import Hands
from streams.lanes import Lanes
from streams.process import OPENINGS
from streams.together import end

log = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.5
_BEAT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
#: The worker's queue makes all other looks.
_THREADS: Final = 2


class StandIn:
    """A thread with an event loop of its own. No task of the queue waits for it, and it ends with its process."""

    def __init__(self, database: dict[str, Any]) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="lane", daemon=True)

    def start(self) -> None:
        """It is at work, until a streams process is, or `stop`."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """It has not ended yet."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Nothing waits for a peer any more; what is left is recovered by whoever looks next. Repeat: safe."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(stopping.set)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except (psycopg.Error, django.db.Error) as lost:
            log.warning("the lane that waits for peers is begun anew by the next pass: %s", lost)
        except Exception:
            log.exception("a defect of ours; the lane that waits for peers is begun anew by the next pass")

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with standby.lane(self._database) as line:
            if line is None:
                return
            log.info("no streams process is at work: this one waits for peers")
            hands = Hands()
            lanes = Lanes(
                threads=_THREADS,
                openings=settings.PARALLEL_OPENINGS,
                hands=hands,
                connected=Connected(),
                ended=lambda: None,
            )
            running = asyncio.create_task(lanes.run())
            try:
                await self._work(lanes, hands, running, self._stopping)
            finally:
                lanes.let_go()
                await end([running])
                await asyncio.gather(lanes.close(_STOP_SECONDS), hands.close(_STOP_SECONDS))

    async def _work(self, lanes: Lanes, hands: Hands, running: asyncio.Task[None], stopping: asyncio.Event) -> None:
        beat_at = 0.0
        while not (stopping.is_set() or running.done() or await hands.do(locks.is_held, locks.STREAMS)):
            for order_id in await hands.do(_due):
                lanes.add(order_id, is_news=False)
            if asyncio.get_running_loop().time() >= beat_at and lanes.looks_move and lanes.openings_move:
                beat_at = asyncio.get_running_loop().time() + _BEAT_SECONDS
                await hands.do(reconcile.beat, OPENINGS, f"by=worker {lanes.detail()}")
            with suppress(TimeoutError):
                async with asyncio.timeout(_TURN_SECONDS):
                    await stopping.wait()
        if running.done():
            running.result()


def _due() -> list[UUID]:
    """None while our node is away: each would only find that out for itself."""
    return [] if outage.of_node().lasts(lightning.node()) else queries.due_with_peers(timezone.now())
