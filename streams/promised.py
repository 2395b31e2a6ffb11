"""Parts of payments for channels that we promised, until our node is told what becomes of them.

Who decides may be in another process: so whatever waits here is asked about in the database, a few times a second, for
as long as anything waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
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
#: So long after it was told our node has done so: LND's links give up what they could not pass on within a minute.
_DONE_SECONDS: Final = 120.0
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
        #: What our node was told by this stream, and when it has done so for sure.
        self._told: dict[Circuit, float] = {}
        self._thread: threading.Thread | None = None
        self._ended_at = 0.0

    def is_ours(self, scid: int) -> bool:
        """We have promised a channel that is called so. Raises: django.db.Error."""
        return gathering.is_ours(scid)

    def went_on(self) -> set[int]:
        """The channels of parts that have gone on, and may be on their way yet. Raises: django.db.Error."""
        return gathering.went_on()

    def decide(self, part: Intercepted, answer: _Tell) -> None:
        """The part is written down, and answered now, or once somebody has decided. Raises: django.db.Error.

        Of what has gone on nothing is said, until it runs out where it went: LND passes on nothing then.
        """
        waiting = _Waiting(part, answer, time.monotonic())
        decided = gathering.hear(part)
        if decided is None:
            self._wait(waiting)
        else:
            self._end(waiting, decided)

    def ended(self) -> None:
        """The stream has: whether our node has done what it was told last nobody knows, and it asks about all anew."""
        with self._lock:
            self._told.clear()
            self._waiting.clear()

    def lost(self, part: Intercepted) -> None:
        """It is not counted on any more. Raises: django.db.Error."""
        with self._lock:
            self._waiting.pop(part.circuit, None)
        gathering.lose(part)

    def forget(self) -> None:
        """Nobody is told anything any more, and nobody looks. Repeat: safe."""
        self.ended()
        if (thread := self._thread) is not None:
            thread.join(_STOP_SECONDS)

    # What waits

    def _wait(self, waiting: _Waiting) -> None:
        with self._lock:
            before = self._waiting.get(waiting.part.circuit)
            if before is None or before.since <= waiting.since:  # else our node has asked anew meanwhile
                self._waiting[waiting.part.circuit] = waiting
        self._begin()

    def _all(self) -> list[_Waiting]:
        with self._lock:
            return list(self._waiting.values())

    def _waits(self, waiting: _Waiting) -> bool:
        """False: our node has asked anew meanwhile, or nobody is to be told anything."""
        return self._waiting.get(waiting.part.circuit) is waiting

    def _drop(self, waiting: _Waiting) -> None:
        with self._lock:
            if self._waits(waiting):
                del self._waiting[waiting.part.circuit]

    # Telling

    def _end(self, waiting: _Waiting, said: Answer) -> None:
        """Our node is told; or later, where it was told before."""
        circuit = waiting.part.circuit
        if not said.goes_on:
            waiting.tell(said)
        elif (told_at := saying.first(circuit)) is not None:
            self._say(waiting, said, told_at)
        elif circuit in self._told:
            log.warning("part=%s has gone on, and is asked about once more: nothing is said", circuit)
        else:
            self._wait_until_it_shows(waiting)
            return
        self._drop(waiting)

    def _say(self, waiting: _Waiting, said: Answer, told_at: datetime | None = None) -> None:
        """`told_at`: by who is the first to. What was told before stays so, whether this is heard or not."""
        circuit = waiting.part.circuit
        with self._lock:
            self._told[circuit] = time.monotonic() + _DONE_SECONDS
        if waiting.tell(said):
            self._begin()
            return
        with self._lock:
            self._told.pop(circuit, None)
        if told_at is not None:
            saying.unsaid(circuit, told_at)

    def _wait_until_it_shows(self, waiting: _Waiting) -> None:
        """All parts for the same channel together: once one is told something moves."""
        shows_at = time.monotonic() + _SHOWS_SECONDS
        with self._lock:
            for circuit, each in self._waiting.items():
                if each.shows_at is not None and each.part.scid == waiting.part.scid:
                    self._waiting[circuit] = each._replace(shows_at=shows_at)
        self._wait(waiting._replace(shows_at=shows_at))

    def _tell_again(self) -> None:
        """What our node was told before, where it has done nothing."""
        now = time.monotonic()
        due = [each for each in self._all() if each.shows_at is not None and each.shows_at <= now]
        if not due:
            return
        channels = lightning.node().channels()
        may = [(each, saying.again(each.part.circuit, channels)) for each in due if self._waits(each)]
        decided = gathering.answers([each.part.circuit for each, _ in may])
        for each, may_be_told in may:
            if may_be_told and each.part.circuit in decided:
                self._say(each, decided[each.part.circuit])
            else:
                log.warning("part=%s is asked about once more: nothing is said", each.part.circuit)
            self._drop(each)

    # A thread for as long as anything waits

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # one that could not begin, or died
                self._thread = threading.Thread(target=self._ask, name="promised", daemon=True)
                self._thread.start()

    def _ask(self) -> None:
        """Until nothing waits."""
        try:
            while self._is_needed():
                self._look()
                time.sleep(_ASK_SECONDS)
        finally:
            connections.close_all()  # this thread's

    def _is_needed(self) -> bool:
        """Something waits, or was told lately; else the thread is no more, and the next part begins another."""
        oldest = time.monotonic() - _FORGET_SECONDS
        with self._lock:
            for circuit in [each for each, waiting in self._waiting.items() if waiting.since < oldest]:
                del self._waiting[circuit]
            if not self._waiting and not self._told:
                self._thread = None
            return self._thread is not None

    def _look(self) -> None:
        close_old_connections()
        try:
            self._tell_decided()
            self._note_done()
            if self._waiting and time.monotonic() - self._ended_at >= _END_WAITING_SECONDS:
                self._ended_at = time.monotonic()
                gathering.end_waiting()
                self._hear_anew()
                self._tell_again()
        except DATABASE_TROUBLE as problem:
            log.warning("parts wait for the database: %s", problem)
        except LightningError as problem:
            log.warning("parts that are asked about once more wait for our node: %s", problem)
        except Exception:
            log.exception("parts wait for what a defect of ours keeps from them")

    def _tell_decided(self) -> None:
        """All parts of a payment are written down as told before the first is: who dies then has told none of them."""
        waiting = {each.part.circuit: each for each in self._all() if each.shows_at is None}
        decided = gathering.answers(waiting) if waiting else {}
        told_at = saying.first_of([circuit for circuit, said in decided.items() if said.goes_on])
        for circuit, said in decided.items():
            if circuit in told_at:
                self._say_now(waiting[circuit], said, told_at[circuit])
            elif self._waits(waiting[circuit]):
                self._end(waiting[circuit], said)

    def _say_now(self, waiting: _Waiting, said: Answer, told_at: datetime) -> None:
        """Unless it waits no more: then it was not told, whatever was written down."""
        if self._waits(waiting):
            self._say(waiting, said, told_at)
            self._drop(waiting)
        else:
            saying.unsaid(waiting.part.circuit, told_at)

    def _note_done(self) -> None:
        now = time.monotonic()
        with self._lock:
            done = [circuit for circuit, at in self._told.items() if at <= now]
        if done:
            saying.done(done)
        with self._lock:
            for circuit in done:
                self._told.pop(circuit, None)

    def _hear_anew(self) -> None:
        """What has no row any more, as we could not read it while it had: nobody would ever decide about it."""
        waiting = {each.part.circuit: each for each in self._all()}
        for circuit in gathering.forgotten(waiting):
            if (said := gathering.hear(waiting[circuit].part)) is not None:
                self._end(waiting[circuit], said)
