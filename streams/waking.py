"""Wallets that are away are told that they are wanted, in a lane of its own: strangers' servers may be slow.

A few threads wait for those, and nothing else does. What is not sent is tried again; no order rests on any of it.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import django.db
from django.conf import settings
from django.db import close_old_connections

from lightning import connection as lightning
from lightning import rights
from lightning.errors import LightningError
from lightning.rights import Feature
from orders import outage
from orders.waking import sending
from orders.waking.sending import Taken
from streams.connected import Connected
from streams.hands import Hands, has_ended

log = logging.getLogger(__name__)

_THREADS: Final = 8
#: Of these; the others' servers may never answer.
_FOR_URGENT: Final = 2
_TICK_SECONDS: Final = 0.5
#: So soon another macaroon is noticed.
_AGAIN_SECONDS: Final = 60.0


class Waking:
    """Use it inside one event loop."""

    def __init__(self, connected: Connected) -> None:
        self._hands, self._connected = Hands(), connected  # those that record payments wait for no right to sign
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="waking")
        self._sending: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """What is due is sent, until this is cancelled, where it is wanted and our macaroon allows it.

        Raises: django.db.Error.
        """
        if not settings.LSPS5_ENABLED:
            await asyncio.Event().wait()
        while True:
            pause = _TICK_SECONDS
            try:
                if not await self._round():
                    pause = _AGAIN_SECONDS
            except django.db.Error:
                raise
            except LightningError as problem:
                log.debug("nobody is woken now: %s", problem)
            except Exception:
                log.exception("a defect of ours; nobody is woken for a while")
                pause = _AGAIN_SECONDS
            await asyncio.sleep(pause)

    async def _round(self) -> bool:
        """False: our macaroon lacks the right. Raises: LightningError."""
        free = _THREADS - len(self._sending)
        if free <= 0 or await self._hands.do(_node_is_away):
            return True
        if lacking := await self._hands.do(_lacking):
            log.warning("nobody is woken: the macaroon does not allow %s", lacking)
            return False
        for taken in await self._hands.do(self._take, free):
            await self._give(taken)
        return True

    def _take(self, free: int) -> list[Taken]:
        """Some threads are for what payments wait for alone."""
        found = sending.take(free, only_urgent=True)
        if (left := free - len(found) - _FOR_URGENT) > 0:
            found += sending.take(left)
        return found

    async def _give(self, taken: Taken) -> None:
        if taken.only_while_away and await self._connected.there(taken.pubkey):
            await self._hands.do(sending.there, taken.pk)
            return
        job = asyncio.get_running_loop().run_in_executor(self._threads, _send, taken.pk)
        self._sending.add(job)
        job.add_done_callback(self._sent)

    def _sent(self, job: asyncio.Future[None]) -> None:
        self._sending.discard(job)
        if not job.cancelled() and (problem := job.exception()) is not None:
            log.error("a wallet was not woken: %r", problem)

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is sent any more; False where something still is after so long."""
        ended = await asyncio.gather(self._hands.close(patience_seconds), has_ended(self._threads, patience_seconds))
        return all(ended)


def _send(pk: int) -> None:
    close_old_connections()
    try:
        sending.send(pk, lightning.node())
    finally:
        close_old_connections()


def _lacking() -> str:
    return rights.lacking(Feature.WAKING, lightning.node())


def _node_is_away() -> bool:
    return outage.of_node().lasts(lightning.node())
