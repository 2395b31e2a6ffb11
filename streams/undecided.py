"""Parts of payments that may be for a channel that we promised, from when LND asks about them until they are answered.

In doubt a part is let go: LND passes on what fits its channels and nothing else, so that costs nobody anything but,
perhaps, us a fee. To fail it would be wrong where it was let go before: it may be on its way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from django.db import close_old_connections

from lightning.parts import RESUME, Answer, Circuit, Intercepted
from orders.errors import DATABASE_TROUBLE
from streams.apart import Stream
from streams.before import is_late
from streams.hands import has_ended

log = logging.getLogger(__name__)

_THREADS: Final = 3
#: For what is not known to be ours the payer waits no longer than that for our database.
_PATIENCE_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.5
#: So many at a time: nobody has that many payments for channels that are still to come.
_MOST: Final = 1_000
#: So many blocks after it ran out nobody has a part in any channel any more, and LND does not ask about it.
_GONE_BLOCKS: Final = 144
#: The last so many are remembered, of numbers and of parts: strangers may name, and send, more than any memory holds.
_MOST_KEPT: Final = 100_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Domain(Protocol):
    """Who decides. Called in threads of their own, which may wait for the database a little."""

    def is_ours(self, scid: int) -> bool:
        """We have promised a channel that is called so. Raises: django.db.Error."""

    def went_on(self) -> set[int]:
        """The channels of parts that have gone on, and may be asked about once more. Raises: django.db.Error."""

    def decide(self, part: Intercepted, answer: Callable[[Answer], bool]) -> None:
        """The part will be answered: by the time this returns, or later, by any thread; the same part may come again.

        `answer` says whether it was taken; where not, LND asks about the part again, or wants no answer any more.
        Raises: django.db.Error: then the part is handed over once more.
        """

    def lost(self, part: Intercepted) -> None:
        """The channel that the part came by is being closed by force: it is not to be counted on, nor answered.

        Raises: django.db.Error: then it is said once more.
        """

    def ended(self) -> None:
        """The stream has ended: LND asks about what it still holds by the next one."""


@dataclass(eq=False, slots=True)
class _Waiting:
    stream: Stream
    part: Intercepted
    since: float
    is_ours: bool = False
    #: When it is to be handed over once more; 0: it is in somebody's hands.
    again_at: float = 0.0


class Undecided:
    """All of them. What it is told it is done with at once."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="undecided")
        self._lock = threading.Lock()
        self._waiting: dict[Circuit, _Waiting] = {}
        #: What was found to be ours stays so, also while the database is away; and is asked for anew where it is gone.
        self._ours: dict[int, None] = {}
        #: What was let go in doubt may be on its way until this block: whoever decides later must not fail it.
        self._gone: dict[Circuit, int] = {}
        self._height = 0
        self.let_go = 0

    def learn(self) -> None:
        """Parts that went on before this process began are ours, whatever the database does later. Raises nothing."""
        try:
            scids = self._domain.went_on()
        except DATABASE_TROUBLE as problem:
            log.warning("which payments have gone on is not known: %s", problem)
            return
        with self._lock:
            for scid in scids:
                _keep(self._ours, scid, None)

    def add(self, stream: Stream, part: Intercepted) -> None:
        """The part will be answered."""
        waiting = _Waiting(stream, part, time.monotonic(), is_ours=part.scid in self._ours)
        if is_late(part, self._height):
            self._end(waiting)
            return
        if part.circuit in self._gone or (len(self._waiting) >= _MOST and not waiting.is_ours):
            self._let_go(waiting)
            return
        with self._lock:
            self._waiting[part.circuit] = waiting
        self._threads.submit(self._look, waiting)

    def tick(self) -> None:
        """What has waited for too long is let go, and what failed is tried again. To be called every so often."""
        now = time.monotonic()
        for waiting in self._all():
            if not waiting.is_ours and now - waiting.since > _PATIENCE_SECONDS:
                self._let_go(waiting)
            elif waiting.again_at and waiting.again_at <= now:
                waiting.again_at = 0.0
                self._threads.submit(self._look, waiting)

    def block_came(self, height: int) -> None:
        """What LND is about to fail by itself is let go, and what ran out long ago is forgotten."""
        self._height = height
        with self._lock:
            self._gone = {circuit: ends for circuit, ends in self._gone.items() if ends > height}
        for waiting in self._all():
            if is_late(waiting.part, height):
                log.warning("part=%s is let go: nobody has decided about it in time", waiting.part.circuit)
                self._end(waiting)

    def forget(self) -> None:
        """The stream has ended: LND will ask about all of them again."""
        with self._lock:
            self._waiting.clear()
        self._domain.ended()

    def detail(self) -> str:
        """How many there are."""
        return f"undecided={len(self._waiting)} let_go={self.let_go}"

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is decided any more; False where something still runs after so long."""
        self.forget()
        return await has_ended(self._threads, patience_seconds)

    def _all(self) -> list[_Waiting]:
        with self._lock:
            return list(self._waiting.values())

    def _let_go(self, waiting: _Waiting) -> None:
        """In doubt."""
        self._remember(waiting.part)
        self.let_go += self._pass(waiting)

    def _end(self, waiting: _Waiting) -> None:
        """Nothing goes on any more, whatever is said."""
        self._remember(waiting.part)
        self.let_go += self._answer(waiting, RESUME)

    def _remember(self, part: Intercepted) -> None:
        with self._lock:
            _keep(self._gone, part.circuit, part.incoming_expiry + _GONE_BLOCKS)

    def _pass(self, waiting: _Waiting) -> bool:
        self._drop(waiting)
        return waiting.stream.let_go(waiting.part.circuit)

    def _answer(self, waiting: _Waiting, answer: Answer) -> bool:
        self._drop(waiting)
        return waiting.stream.answer(waiting.part.circuit, answer)

    def _drop(self, waiting: _Waiting) -> None:
        with self._lock:
            if self._still_waits(waiting):
                del self._waiting[waiting.part.circuit]

    # In a thread

    def _look(self, waiting: _Waiting) -> None:
        close_old_connections()
        try:
            self._decide(waiting)
        except DATABASE_TROUBLE as error:
            log.warning("part=%s the database: %s", waiting.part.circuit, error)
            waiting.again_at = time.monotonic() + _AGAIN_SECONDS
        except Exception:
            log.exception("part=%s could not be decided", waiting.part.circuit)
            waiting.again_at = time.monotonic() + _AGAIN_SECONDS
        finally:
            close_old_connections()

    def _decide(self, waiting: _Waiting) -> None:
        part = waiting.part
        if self._still_waits(waiting) and not waiting.is_ours:
            waiting.is_ours = self._domain.is_ours(part.scid)
        if not self._still_waits(waiting):
            return  # it was let go meanwhile
        if not waiting.is_ours:
            self._pass(waiting)
        elif part.is_on_chain:
            self._domain.lost(part)
            self._answer(waiting, RESUME)  # which LND is not told
        else:
            with self._lock:
                _keep(self._ours, part.scid, None)
            self._domain.decide(part, partial(self._answer, waiting))

    def _still_waits(self, waiting: _Waiting) -> bool:
        return self._waiting.get(waiting.part.circuit) is waiting


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """The oldest is forgotten for it where there are too many."""
    kept[key] = value
    if len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
