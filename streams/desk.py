"""Where peers' messages are answered: in threads of their own, so that no order waits for whoever only asks.

Whoever hears a message is done with it at once. It is read and answered in one lane; what may wait for the node goes on
in another. So answers come in whatever order, and neither a slow purchase nor a peer with many requests delays others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from django.db import close_old_connections

from lightning import connection as lightning
from lightning.errors import LightningError
from lightning.types import CustomMessage
from lsps.bolt8 import answering, limits
from lsps.bolt8.codec import MESSAGE_TYPE, Call
from lsps.bolt8.limits import Limits, Verdict
from lsps.bolt8.waiting import Waiting
from streams.hands import has_ended

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_READERS: Final = 2
_BUYERS: Final = 2
#: Wallets wait for five to seven seconds. An order that is made when its buyer has gone would only be in the way.
_PATIENCE_SECONDS: Final = 20.0
#: The node itself gives up on a peer that reads nothing after five.
_SENDING_SECONDS: Final = 10


class Letter(NamedTuple):
    """A message that waits to be read."""

    payload: bytes
    at: float
    verdict: Verdict


class Asked(NamedTuple):
    """A request that waits to be answered."""

    call: Call
    letter: Letter


#: What a thread leaves behind: a request for the other lane, an answer on its way, or nothing.
_Left = Call | Future[Any] | None


class Lane(Generic[Item]):
    """A few threads, and the items of peers that wait for one. All but the work happens in the event loop's thread."""

    def __init__(
        self,
        threads: int,
        *,
        name: str,
        work: Callable[[str, Item], _Left],
        ended: Callable[[str, Item, _Left], None],
    ) -> None:
        self.waiting: Waiting[Item] = Waiting(limits.WAITING)
        self._work, self._ended = work, ended
        self._free = threads
        self._is_closed = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def add(self, peer: str, item: Item) -> None:
        """It is done in its turn, or makes another give way."""
        if (crowded_out := self.waiting.add(peer, item)) is not None:
            self._ended(*crowded_out, None)
        self._begin()

    def _begin(self) -> None:
        while self._free and not self._is_closed and (taken := self.waiting.take()) is not None:
            self._free -= 1
            job = asyncio.get_running_loop().run_in_executor(self._threads, _cleanly, self._work, *taken)
            job.add_done_callback(partial(self._done, *taken))

    def _done(self, peer: str, item: Item, job: asyncio.Future[_Left]) -> None:
        self._free += 1
        left = None
        if not job.cancelled() and (problem := job.exception()) is not None:
            log.error("peer=%s was not answered: %r", peer, problem)
        elif not job.cancelled():
            left = job.result()
        self._ended(peer, item, left)
        self._begin()

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where something still runs after so long."""
        self._is_closed = True  # what runs is done in a moment, and its thread would take the next
        return await has_ended(self._threads, patience_seconds)


class Desk:
    """Answers what peers ask by LSPS0. Use it inside one event loop."""

    def __init__(self) -> None:
        #: Peers are listened to.
        self.is_open = False
        self._limits = Limits()
        self._reading: Lane[Letter] = Lane(_READERS, name="lsps", work=_read, ended=self._was_read)
        self._buying: Lane[Asked] = Lane(_BUYERS, name="lsps-buying", work=_answer, ended=self._was_answered)
        self._cutting: Lane[None] = Lane(1, name="lsps-cutting", work=_hang_up, ended=lambda peer, _, left: None)
        self._sending: set[asyncio.Future[Any]] = set()

    def heard(self, message: CustomMessage) -> None:
        """The message will be answered, unless its peer has asked too much. It takes no time."""
        if message.type != MESSAGE_TYPE:
            return
        now = time.monotonic()
        verdict = self._limits.heard(message.pubkey, len(message.data), now)
        if verdict is Verdict.FLOOD:
            self._cutting.add(message.pubkey, None)
        elif verdict is not Verdict.DROPPED:
            self._reading.add(message.pubkey, Letter(message.data, now, verdict))

    def _was_read(self, peer: str, letter: Letter, left: _Left) -> None:
        if isinstance(left, Call):
            self._buying.add(peer, Asked(left, letter))
        else:
            self._on_its_way(peer, left)

    def _was_answered(self, peer: str, asked: Asked, left: _Left) -> None:
        self._on_its_way(peer, left if isinstance(left, Future) else None)

    def _on_its_way(self, peer: str, answer: Future[Any] | None) -> None:
        if answer is None:
            self._limits.answered(peer)
            return
        sending = asyncio.wrap_future(answer)
        self._sending.add(sending)
        sending.add_done_callback(partial(self._sent, peer))

    def _sent(self, peer: str, sending: asyncio.Future[Any]) -> None:
        """Well or not, it counts as delivered (bLIP-50): who does not hear asks again."""
        self._sending.discard(sending)
        self._limits.answered(peer)
        if not sending.cancelled() and (problem := sending.exception()) is not None:
            log.info("peer=%s did not get its answer: %s", peer, problem)

    def forget(self) -> None:
        """Peers are heard no more, and what waits is not answered: they are as far as they were before they asked."""
        self.is_open = False
        for lane in (self._reading, self._buying):
            for peer, _ in lane.waiting.clear():
                self._limits.answered(peer)

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where something still runs after so long."""
        self.forget()
        for sending in list(self._sending):
            sending.cancel()
        lanes: tuple[Lane[Any], ...] = (self._reading, self._buying, self._cutting)
        return all(await asyncio.gather(*(lane.close(patience_seconds) for lane in lanes)))


def _read(peer: str, letter: Letter) -> _Left:
    if letter.verdict is Verdict.REFUSED or _is_late(letter):
        said: bytes | Call | None = answering.refused(letter.payload, answering.TOO_MANY)
    else:
        said = answering.begun(peer, letter.payload)
    return said if isinstance(said, Call) else _send(peer, said)


def _answer(peer: str, asked: Asked) -> _Left:
    if _is_late(asked.letter):
        return _send(peer, answering.refused(asked.letter.payload, answering.TOO_MANY))
    return _send(peer, answering.answer(peer, asked.call))


def _hang_up(peer: str, _: None) -> None:
    """The peer may connect again; what it sent meanwhile is not in our way."""
    log.warning("peer=%s floods us with messages: it is disconnected", peer)
    try:
        lightning.node().disconnect(peer)
    except LightningError as problem:
        log.info("peer=%s could not be disconnected: %s", peer, problem)


def _is_late(letter: Letter) -> bool:
    return time.monotonic() - letter.at > _PATIENCE_SECONDS


def _send(peer: str, payload: bytes | None) -> Future[Any] | None:
    """No thread waits for the peer to read it."""
    if payload is None:
        return None
    try:
        node = lightning.node()
        return node.begin_sending(peer, type=MESSAGE_TYPE, data=payload, timeout_seconds=_SENDING_SECONDS)
    except LightningError as problem:
        log.info("peer=%s did not get its answer: %s", peer, problem)
        return None


def _cleanly(work: Callable[[str, Item], _Left], peer: str, item: Item) -> _Left:
    close_old_connections()
    try:
        return work(peer, item)
    finally:
        close_old_connections()
