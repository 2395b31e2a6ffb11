"""Parts of payments for channels that we promised, until our node is told what becomes of them.

Who decides may be in another process: so whatever waits here is asked about in the database, a few times a second, for
as long as anything waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from django.db import close_old_connections, connections

from lightning import connection as lightning
from lightning.errors import LightningError
from lightning.parts import Answer, Circuit, Intercepted
from orders.errors import DATABASE_TROUBLE
from orders.jit import gathering, saying

log = logging.getLogger(__name__)

_ASK_SECONDS: Final = 0.1
#: What nobody has asked about for so long our node has let go of: it asks again where it has not.
_FORGET_SECONDS: Final = 24 * 3600.0
_END_WAITING_SECONDS: Final = 1.0
#: So long after it was told our node has done so, or has died before.
_DONE_SECONDS: Final = 2.0
#: So long after our node asks once more what it had done when it died shows in its channels.
_SHOWS_SECONDS: Final = 3.0
_STOP_SECONDS: Final = 5.0

_Tell = Callable[[Answer], bool]


class _Waiting(NamedTuple):
    part: Intercepted
    tell: _Tell
    since: float
    #: When it shows what our node has done, which was told already; None: it was not.
    shows_at: float | None = None


class Promised:
    """Who decides about parts for channels that we promised."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Circuit, _Waiting] = {}
        #: What our node was told by this stream, and when it has done so.
        self._told: dict[Circuit, float] = {}
        self._thread: threading.Thread | None = None
        self._ended_at = 0.0

    def is_ours(self, scid: int) -> bool:
        """We have promised a channel that is called so. Raises: django.db.Error."""
        return gathering.is_ours(scid)

    def decide(self, part: Intercepted, answer: _Tell) -> None:
        """The part is written down, and answered now, or once somebody has decided. Raises: django.db.Error.

        Of what has gone on nothing is said, until LND is about to fail it by itself: it runs out too soon by then to go
        on once more.
        """
        decided = gathering.hear(part)
        if decided is not None and saying.first({part.circuit: decided}):
            self._say(part.circuit, decided, answer)
        else:
            self._wait(_Waiting(part, answer, time.monotonic(), None if decided is None else _shows_at()))

    def _wait(self, waiting: _Waiting) -> None:
        with self._lock:
            self._waiting[waiting.part.circuit] = waiting
        self._begin()

    def _say(self, circuit: Circuit, said: Answer, tell: _Tell) -> None:
        if not said.goes_on:
            tell(said)
        elif tell(said):
            with self._lock:
                self._told[circuit] = time.monotonic() + _DONE_SECONDS
            self._begin()
        else:
            saying.unsaid(circuit)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # one that could not begin, or died
                self._thread = threading.Thread(target=self._ask, name="promised", daemon=True)
                self._thread.start()

    def ended(self) -> None:
        """The stream has: whether our node has done what it was told last nobody knows."""
        with self._lock:
            self._told.clear()

    def lost(self, part: Intercepted) -> None:
        """It is not counted on any more. Raises: django.db.Error."""
        with self._lock:
            self._waiting.pop(part.circuit, None)
        gathering.lose(part)

    def _ask(self) -> None:
        """Until nothing waits."""
        try:
            while self._is_needed():
                self._look()
                time.sleep(_ASK_SECONDS)
        finally:
            connections.close_all()  # this thread's

    def _look(self) -> None:
        close_old_connections()
        try:
            self._tell(gathering.answers([circuit for circuit, each in self._all() if each.shows_at is None]))
            self._note_done()
            self._tell_once_more()
            if time.monotonic() - self._ended_at >= _END_WAITING_SECONDS:
                self._ended_at = time.monotonic()
                gathering.end_waiting()
                self._hear_anew()
        except DATABASE_TROUBLE as problem:
            log.warning("parts wait for the database: %s", problem)
        except Exception:
            log.exception("parts wait for what a defect of ours keeps from them")

    def _note_done(self) -> None:
        now = time.monotonic()
        with self._lock:
            done = [circuit for circuit, at in self._told.items() if at <= now]
        if done:
            saying.done(done)
        with self._lock:
            for circuit in done:
                self._told.pop(circuit, None)

    def _tell_once_more(self) -> None:
        """What our node was told before, where it has done nothing."""
        now = time.monotonic()
        for circuit, waiting in self._all():
            if waiting.shows_at is not None and waiting.shows_at <= now and self._takes(circuit, waiting):
                self._tell_again(circuit, waiting)

    def _tell_again(self, circuit: Circuit, waiting: _Waiting) -> None:
        try:
            said = gathering.answers([circuit]) if saying.once_more(circuit, lightning.node()) else {}
        except (LightningError, *DATABASE_TROUBLE) as problem:
            log.warning("part=%s is asked about once more, and not looked at: %s", circuit, problem)
            self._wait(waiting._replace(shows_at=_shows_at()))
            return
        if circuit in said:
            self._say(circuit, said[circuit], waiting.tell)
        else:
            log.warning("part=%s is asked about once more, and has gone on: nothing is said", circuit)

    def _all(self) -> list[tuple[Circuit, _Waiting]]:
        with self._lock:
            return list(self._waiting.items())

    def _takes(self, circuit: Circuit, waiting: _Waiting) -> bool:
        """It waits no more; False: our node has asked anew meanwhile."""
        with self._lock:
            is_this = self._waiting.get(circuit) is waiting
            if is_this:
                del self._waiting[circuit]
        return is_this

    def _hear_anew(self) -> None:
        """What has no row any more, as we could not read it while it had: nobody would ever decide about it."""
        waiting = dict(self._all())
        for circuit in gathering.forgotten(waiting):
            if (said := gathering.hear(waiting[circuit].part)) is not None:
                self._tell({circuit: said})

    def forget(self) -> None:
        """Nobody is told anything any more: our node will ask anew. Repeat: safe."""
        with self._lock:
            self._waiting.clear()
            self._told.clear()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _is_needed(self) -> bool:
        """Something waits, or was just told; else the thread is no more, and the next part begins another."""
        oldest = time.monotonic() - _FORGET_SECONDS
        with self._lock:
            for circuit in [each for each, waiting in self._waiting.items() if waiting.since < oldest]:
                del self._waiting[circuit]
            if not self._waiting and not self._told:
                self._thread = None
            return self._thread is not None

    def _tell(self, decided: dict[Circuit, Answer]) -> None:
        first = saying.first(decided)
        for circuit, waiting in self._all():
            if circuit not in decided or not self._takes(circuit, waiting):
                continue
            if circuit in first:
                self._say(circuit, decided[circuit], waiting.tell)
            else:
                self._wait(waiting._replace(shows_at=_shows_at()))


def _shows_at() -> float:
    return time.monotonic() + _SHOWS_SECONDS
