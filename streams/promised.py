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

from lightning.parts import Answer, Circuit, Intercepted
from orders.errors import DATABASE_TROUBLE
from orders.jit import gathering

log = logging.getLogger(__name__)

_ASK_SECONDS: Final = 0.1
#: What nobody has asked about for so long our node has let go of: it asks again where it has not.
_FORGET_SECONDS: Final = 24 * 3600.0
_END_WAITING_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0

_Tell = Callable[[Answer], bool]


class _Waiting(NamedTuple):
    part: Intercepted
    tell: _Tell
    since: float


class Promised:
    """Who decides about parts for channels that we promised."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Circuit, _Waiting] = {}
        self._thread: threading.Thread | None = None
        self._ended_at = 0.0

    def is_ours(self, scid: int) -> bool:
        """We have promised a channel that is called so. Raises: django.db.Error."""
        return gathering.is_ours(scid)

    def decide(self, part: Intercepted, answer: _Tell) -> None:
        """The part is written down, and answered now, or once somebody has decided. Raises: django.db.Error.

        Of one that is over nothing is said, until LND is about to fail it by itself: it runs out too soon by then to go
        on once more.
        """
        if gathering.is_over(part.circuit):
            log.warning("part=%s is asked about once more, and its payment is over: nothing is said", part.circuit)
            return
        decided = gathering.hear(part)
        if decided is not None:
            answer(decided)
            return
        with self._lock:
            self._waiting[part.circuit] = _Waiting(part, answer, time.monotonic())
            if self._thread is None or not self._thread.is_alive():  # one that could not begin, or died
                self._thread = threading.Thread(target=self._ask, name="promised", daemon=True)
                self._thread.start()

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
            self._tell(gathering.answers(list(self._waiting)))
            if time.monotonic() - self._ended_at >= _END_WAITING_SECONDS:
                self._ended_at = time.monotonic()
                gathering.end_waiting()
                self._hear_anew()
        except DATABASE_TROUBLE as problem:
            log.warning("parts wait for the database: %s", problem)
        except Exception:
            log.exception("parts wait for what a defect of ours keeps from them")

    def _hear_anew(self) -> None:
        """What has no row any more, as we could not read it while it had: nobody would ever decide about it."""
        with self._lock:
            waiting = dict(self._waiting)
        for circuit in gathering.forgotten(waiting):
            if (said := gathering.hear(waiting[circuit].part)) is not None:
                self._tell({circuit: said})

    def forget(self) -> None:
        """Nobody is told anything any more: our node will ask anew. Repeat: safe."""
        with self._lock:
            self._waiting.clear()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _is_needed(self) -> bool:
        """Something waits; else the thread is no more, and the next part begins another."""
        oldest = time.monotonic() - _FORGET_SECONDS
        with self._lock:
            for circuit in [each for each, waiting in self._waiting.items() if waiting.since < oldest]:
                del self._waiting[circuit]
            if not self._waiting:
                self._thread = None
            return bool(self._waiting)

    def _tell(self, decided: dict[Circuit, Answer]) -> None:
        for circuit, said in decided.items():
            with self._lock:
                waiting = self._waiting.pop(circuit, None)
            if waiting is not None:
                waiting.tell(said)
