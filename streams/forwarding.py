"""What others pay through our node passes by here: what is not for a channel that we promised goes on at once.

While LND asks (`requireinterceptor`) nothing is forwarded that we have not answered. So who reads (`streams.apart`)
answers by itself whatever cannot be ours, and never waits: not for the database, nor for our own hands.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from django.conf import settings

from lightning import connection as lightning
from lightning import just_in_time, rights
from lightning.errors import LightningError
from orders.errors import DATABASE_TROUBLE
from orders.outage import Outage
from streams.apart import Apart, Stream
from streams.hands import Hands
from streams.together import together
from streams.undecided import Domain, Undecided

log = logging.getLogger(__name__)

#: A stream that has lasted for so long was one; what ended sooner LND did not want.
_WELL_SECONDS: Final = 1.0
#: After a stream that was well the next begins at once: others' payments wait for it.
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.0)
_TICK_SECONDS: Final = 0.25
#: So soon another macaroon, or another configuration of the node's, is noticed.
_AGAIN_SECONDS: Final = 60.0
_SOON_SECONDS: Final = 2.0


class Line:
    """The thread that hears what is not let go at once. It is there from `start` to `stop`, whatever comes between."""

    def __init__(self, begin: Callable[[], Apart], undecided: Undecided) -> None:
        self._begin = begin
        self._undecided = undecided
        self._outage = Outage(log, "what others pay through our node")
        self._stop = threading.Event()
        self._apart: Apart | None = None
        self._stream: Stream | None = None
        self._passed = 0
        self._height = 0

    def start(self) -> None:
        """It hears from now on. Repeat: safe."""
        if self._apart is None:
            self._apart, self._stop = self._begin(), threading.Event()
            what = (self._apart, self._stop)
            threading.Thread(target=self._run, args=what, name="forwarding", daemon=True).start()

    def stop(self) -> None:
        """It hears no more, and LND asks nobody. Repeat: safe."""
        self._stop.set()
        if (apart := self._apart) is not None:
            self._passed += apart.passed
            apart.end()
        self._apart = self._stream = None
        self._undecided.forget()

    @property
    def has_begun(self) -> bool:
        """It hears, or is about to."""
        return self._apart is not None

    @property
    def is_up(self) -> bool:
        """LND asks us."""
        return self._stream is not None and self._stream.lasts_seconds > _WELL_SECONDS

    @property
    def passed(self) -> int:
        """How many parts were let go at once."""
        return self._passed + (self._apart.passed if self._apart is not None else 0)

    def tick(self) -> None:
        """To be called every so often."""
        if self.is_up and self._outage.over():
            log.info("what others pay goes through our node again")

    def block_came(self, height: int) -> None:
        """LND has failed by itself what it held for too long."""
        self._height = height
        if (stream := self._stream) is not None:
            stream.block_came(height)

    def _run(self, apart: Apart, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            well = self._hear(apart, stop)
            failures = 0 if well else failures + 1
            stop.wait(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1] if failures else 0)
        apart.end()

    def _hear(self, apart: Apart, stop: threading.Event) -> bool:
        """One stream, to its end; whether it was one."""
        stream = None
        try:
            stream = self._stream = apart.open(self._height)
            for part in stream:
                self._undecided.add(stream, part)
        except LightningError as problem:
            if not stop.is_set():
                self._outage.begun(problem)
        except Exception:
            log.exception("a defect of ours; the node is listened to anew")
        if not stop.is_set():
            self._stream = None
            self._undecided.forget()
        return stream is not None and stream.lasts_seconds > _WELL_SECONDS


class Forwarding:
    """The line, for as long as channels are sold just in time. Use it inside one running event loop.

    It is there while this process is the one at work, and while nobody can tell which one is: others' payments do not
    wait for our database. So it is taken and given up for itself.
    """

    def __init__(self, hands: Hands, domain: Domain) -> None:
        self._hands = hands
        self._undecided = Undecided(domain)
        self._line = Line(lambda: Apart(lightning.credentials), self._undecided)
        self._is_ours = asyncio.Event()
        #: Why none is sold; None: that is not known yet.
        self._why_not: tuple[str, ...] | None = None

    def take(self) -> None:
        """This process is the one at work."""
        self._is_ours.set()

    def give_way(self) -> None:
        """Another one is: LND asks one of us alone. Repeat: safe."""
        self._is_ours.clear()
        self._line.stop()

    async def run(self) -> None:
        """What others pay is passed on, until this is cancelled, where the feature is on."""
        if not settings.LSPS2_ENABLED:
            self._why_not = ("LSPS2_ENABLED is off",)
            await asyncio.Event().wait()
        try:
            while True:
                await self._work()
        finally:
            self.give_way()

    async def _work(self) -> None:
        try:
            await together(self._keep_asking(), self._keep_ticking())
        except Exception:
            log.exception("a defect of ours; others' payments are passed on all the same")
            await asyncio.sleep(_SOON_SECONDS)

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._line.tick()
            self._undecided.tick()

    async def _keep_asking(self) -> None:
        while True:
            await self._is_ours.wait()
            try:
                may, why_not = await self._hands.do(_abilities)
            except (LightningError, *DATABASE_TROUBLE) as problem:
                log.info("whether channels can be sold just in time is not known yet: %s", problem)
                await asyncio.sleep(_SOON_SECONDS)
                continue
            self._found(why_not)
            if may and self._is_ours.is_set():
                if not self._line.has_begun:
                    with suppress(TimeoutError):  # others' payments wait
                        await asyncio.wait_for(self._hands.do(self._undecided.learn), _SOON_SECONDS)
                self._line.start()
            await asyncio.sleep(_AGAIN_SECONDS if self._is_ours.is_set() else 0)

    def _found(self, why_not: tuple[str, ...]) -> None:
        if why_not and why_not != self._why_not:
            log.warning("no channel is sold just in time: %s", "; ".join(why_not))
        self._why_not = why_not

    def block_came(self, height: int) -> None:
        """The node has seen a block of this height."""
        self._line.block_came(height)
        self._undecided.block_came(height)

    @property
    def is_off(self) -> bool:
        """None is sold, and for a reason: nobody need miss us."""
        return bool(self._why_not)

    def detail(self, *, node_is_away: bool) -> str | None:
        """What to say of ourselves; None: LND answers, and does not ask us."""
        if self.is_off or self._why_not is None or not (self._line.is_up or node_is_away):
            return None
        state = "up" if self._line.is_up else "down"
        return f"line={state} passed={self._line.passed} {self._undecided.detail()}"

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is decided any more; False where something still runs after so long."""
        self._line.stop()
        return await self._undecided.close(patience_seconds)


def _abilities() -> tuple[bool, tuple[str, ...]]:
    """Whether we may listen, and why we do not sell. Raises: LightningError.

    With a macaroon that was baked before numbers were taken back none is sold. But LND asks whether we listen or not:
    what others pay would wait for nobody, and so would payments for what was sold before.
    """
    node = lightning.node()
    unable = just_in_time.unable(node, cltv_blocks=settings.LSPS2_CLTV_BLOCKS, takes_old_lnd=settings.LSPS2_ON_OLD_LND)
    return rights.may_pass_on(node), tuple(each.what for each in unable)
