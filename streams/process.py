"""The streams process: it stands by until it is alone, and then listens, watches the clock, and has orders advanced.

All of this is speed. Orders complete without it, through the minute's reconcile.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import django.db
import psycopg
from django.conf import settings
from django.utils import timezone
from psycopg import AsyncConnection

from lightning import connection as lightning
from orders import alive, outage, queries, reconcile
from orders.nudges import CHANNEL, NEW
from orders.operations import snapshot
from orders.outage import Outage
from streams import standby
from streams.connected import Connected
from streams.due import Due
from streams.forwarding import Forwarding
from streams.hands import Hands
from streams.lanes import Lanes
from streams.node import NodeStreams
from streams.promised import Promised
from streams.together import together
from streams.waking import Waking

log = logging.getLogger(__name__)

#: The process listens; its looks move on; what waits for peers moves on. Each is judged for itself.
BEAT: Final = alive.STREAMS
LOOKS: Final = "looks"
OPENINGS: Final = "openings"
#: What others pay through our node is passed on, where channels are sold just in time.
FORWARDING: Final = "forwarding"
_BEAT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
#: Looks at the clock are at least so far apart, however many orders end at once.
_TICK_SECONDS: Final = 0.2
#: What has waited for so long waits because we are too slow for what comes.
_BEHIND_SECONDS: Final = 1.0
_BEHIND_TICK_SECONDS: Final = 0.25
#: How soon we notice that a node which was away has come back, or is to be asked.
_AWAY_SECONDS: Final = 0.5


class Process:
    """Build and run it inside one running event loop."""

    def __init__(self, *, threads: int, database: dict[str, Any], openings: int | None = None) -> None:
        self._database = database
        self._hands = Hands()
        self._wake = asyncio.Event()
        openings = settings.PARALLEL_OPENINGS if openings is None else openings
        connected = Connected()
        self._lanes = Lanes(
            threads=threads, openings=openings, hands=self._hands, connected=connected, ended=self._wake.set
        )
        self._forwarding = Forwarding(self._hands, Promised())
        self._node = NodeStreams(self._hands, connected, news=self._lanes.add, block_came=self._forwarding.block_came)
        #: By which we had the lock last.
        self._our_server_process = 0
        #: Nobody is to miss its heartbeat, and the row is gone.
        self._is_missed = False
        self._waking = Waking(connected)
        self._due = Due()
        self._outage = Outage(log, "the database")

    async def run(self, stop: asyncio.Event) -> bool:
        """It has worked, or stood by, until `stop`; False where a look still runs in its thread.

        Ending such a thread with the process is safe: whatever it was at, a later look goes on.
        """
        working = asyncio.create_task(together(self._keep_working(), self._forwarding.run()))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        parts = (self._lanes, self._hands, self._node, self._forwarding, self._waking)
        ended = await asyncio.gather(*(part.close(_STOP_SECONDS) for part in parts))
        return all(ended)

    async def _keep_working(self) -> None:
        while True:
            try:
                await self._hands.do(_reach_the_database)
                async with standby.alone(self._database, taken=self._taken) as line:
                    self._our_server_process = line.info.backend_pid
                    self._forwarding.take()
                    await self._work(line)
            except (psycopg.Error, django.db.Error) as lost:
                self._outage.begun(lost)
            except Exception:
                log.exception("a defect of ours; the work begins anew")
            self._lanes.forget()  # what is due is found again by whoever works then
            await asyncio.sleep(self._outage.pause_seconds())

    def _taken(self, server_process: int) -> None:
        """Another process is the one at work, unless it is our own connection that died, and is still believed in."""
        if server_process != self._our_server_process:
            self._forwarding.give_way()

    async def _work(self, line: AsyncConnection) -> None:
        log.info("at work: listening for nudges")
        await together(
            self._hear(line),
            self._watch_the_clock(),
            self._lanes.run(),
            self._beat(),
            self._say_when_behind(),
            self._node.run(),
            self._waking.run(),
        )

    async def _hear(self, line: AsyncConnection) -> None:
        async for order_id, channel in standby.nudged(line, wants_new=lambda: self._node.wants_new):
            if channel == NEW:
                self._node.begin(order_id)
            else:
                self._lanes.add(order_id, is_news=channel == CHANNEL)
                self._node.consider(order_id)

    async def _watch_the_clock(self) -> None:
        """What is due is handed out when its time comes; others set due times too, so we also ask now and then."""
        while True:
            self._wake.clear()
            wait_seconds = await self._hand_out_what_is_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._wake.wait()
            await asyncio.sleep(_TICK_SECONDS)

    async def _hand_out_what_is_due(self) -> float:
        """How long nothing else will be; while the node is away nothing is handed out at all."""
        if await self._hands.do(_node_is_away):
            return _AWAY_SECONDS
        due, next_due_at = await self._hands.do(_look_at_the_clock)
        for order_id in self._due.fresh(due, asyncio.get_running_loop().time()):
            self._lanes.add(order_id, is_news=False)
        return self._due.wait_seconds(next_due_at, timezone.now())

    async def _beat(self) -> None:
        while True:
            self._node.changed.clear()
            await self._hands.do(_beat, self._details())
            if self._forwarding.is_off and not self._is_missed:
                await self._hands.do(reconcile.miss_no_more, FORWARDING)
            self._is_missed = self._forwarding.is_off
            self._outage.over()  # what was written proves it
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_SECONDS):
                    await self._node.changed.wait()

    async def _say_when_behind(self) -> None:
        """While payments wait for their look, no more is sold: who has paid comes before who would buy."""
        while True:
            await asyncio.sleep(_BEHIND_TICK_SECONDS)
            if self._lanes.behind_seconds > _BEHIND_SECONDS:
                await self._hands.do(snapshot.say_behind)

    def _details(self) -> dict[str, str]:
        """What to say of ourselves and of each lane that moves; nothing of one that hangs."""
        orders = self._lanes.jobs.orders
        said = {BEAT: self._node.detail()}
        if self._lanes.looks_move:
            said[LOOKS] = f"running={orders.running} waiting={len(orders)}"
        if self._lanes.openings_move:
            said[OPENINGS] = f"by=streams {self._lanes.detail()}"
        if forwarding := self._forwarding.detail(node_is_away=outage.of_node().is_on):
            said[FORWARDING] = forwarding
        return said


def _beat(details: dict[str, str]) -> None:
    node = queries.our_node()
    for name, detail in details.items():
        reconcile.beat(name, detail, node=node)


def _reach_the_database() -> None:
    """By a connection of Django's, which refuses a pooler that would keep our lock for itself."""
    django.db.connection.ensure_connection()


def _node_is_away() -> bool:
    return outage.of_node().lasts(lightning.node())


def _look_at_the_clock() -> tuple[list[UUID], datetime | None]:
    now = timezone.now()
    return queries.due_ids(now), queries.next_due_at(after=now)
