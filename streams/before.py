"""Others' payments that LND may have asked about before its stream began, and that may have gone on since.

LND keeps such a question also where the part has come to its end meanwhile, and what is let go then goes on once more,
at our node's cost. It does not say which of its first questions are new. So its channels say it: they are looked at
before the stream begins, and when a question has come.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from lightning.errors import LightningError
from lightning.parts import FAIL, RESUME, Answer, Circuit, Intercepted
from lightning.types import Channel, Htlc

log = logging.getLogger(__name__)

#: LND asks at once, and in one go, about all that it has kept: those are over at the first pause of such a length, but
#: not sooner after the first than that, and at the latest after that. A node that forwards much makes no pauses.
_PAUSE_SECONDS: Final = 0.2
_FIRST_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 30.0
#: The next look is as long after the last one as the newest part has waited, and within these.
_SOON_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 5.0
#: For so long nothing is concluded from what the channels do not show.
_SHOWS_SECONDS: Final = 3.0
#: What was told to go on LND's links have passed on by then, or given up: a minute in the mailbox of one, and a minute
#: in which its peer does not agree to it.
_GIVEN_UP_SECONDS: Final = 180.0
#: So many blocks before LND fails it by itself, what nobody has answered is let go: of what was let go before, to be
#: failed at its one end only is to be paid out for nothing. And as soon as it runs out where it goes: LND passes on
#: nothing then that would have so few blocks, and drops what is on its way.
DOUBT_BLOCKS: Final = 2


def is_late(part: Intercepted, height: int) -> bool:
    """What nobody has decided about is to be let go at this height."""
    return not part.is_on_chain and min(part.auto_fail_height - DOUBT_BLOCKS, part.outgoing_expiry) <= height


@dataclass(eq=False, slots=True)
class _Kept:
    part: Intercepted
    since: float
    #: It is on its way, or was: nothing is said of it until it runs out.
    went_on: bool = False


class Before:
    """What one stream was asked first. Any thread may call it."""

    def __init__(
        self,
        channels: Callable[[], Sequence[Channel]],
        answer: Callable[[Circuit, Answer], object],
        height: int = 0,
        failed: set[Circuit] | None = None,
    ) -> None:
        """To be made before the stream is.

        Args:
            channels: All of our node's, as they are when it is called.
            answer: Tells LND.
            height: Of the newest block; 0: nobody knows.
            failed: What was failed here, by the streams before too: LND may end a stream for it, and ask once more.

        Raises: LightningError, of `channels`.
        """
        self._channels, self._answer, self._height = channels, answer, height
        #: What LND has asked about, and what we have let go since. It asks about nothing that is not locked in.
        self._went = {circuit for circuit, half in _halves(channels()).items() if half.locked_in}
        self._failed = set() if failed is None else failed
        self._lock = threading.Lock()
        self._first_at = self._met_at = 0.0
        self._are_over = False
        self._first: dict[Circuit, Intercepted] = {}
        self._kept: dict[Circuit, _Kept] = {}
        self._something = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_ended = False

    def meet(self, part: Intercepted) -> None:
        """LND asks about it. To be called of each, in their order."""
        if self._are_over:
            return
        now = monotonic()
        self._first_at = self._first_at or now
        paused = bool(self._met_at) and now - self._met_at >= _PAUSE_SECONDS
        self._met_at, age = now, now - self._first_at
        self._are_over = age >= _LAST_SECONDS or (paused and age >= _FIRST_SECONDS)
        if not self._are_over and not part.is_on_chain:
            with self._lock:
                self._first[part.circuit] = part

    def let_go(self, circuit: Circuit) -> bool:
        """It goes on, unless it did; False: it is none of those, and whoever asks may let it go at once."""
        with self._lock:
            part = self._first.pop(circuit, None)
            if part is None:
                return False
            self._kept[circuit] = _Kept(part, monotonic(), went_on=circuit in self._failed)
            self._begin()
        self._something.set()
        return True

    def block_came(self, height: int) -> None:
        """What runs out is let go: LND passes nothing on by then."""
        self._height = height
        for kept in self._all():
            if is_late(kept.part, height):
                self._end(kept, RESUME)

    def close(self) -> None:
        """The stream has ended: LND asks about all of it anew. Repeat: safe."""
        self._has_ended = True
        self._something.set()

    def _all(self) -> list[_Kept]:
        with self._lock:
            return list(self._kept.values())

    def _end(self, kept: _Kept, answer: Answer) -> None:
        with self._lock:
            self._kept.pop(kept.part.circuit, None)
            self._went.add(kept.part.circuit)
        if answer == FAIL:
            self._failed.add(kept.part.circuit)
        self._answer(kept.part.circuit, answer)

    # In a thread of its own

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="before", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._has_ended:
            self._something.wait(self._pause())
            self._something.clear()
            try:
                if not self._has_ended:
                    self._look()
            except Exception:
                log.exception("others' payments wait for what a defect of ours keeps from them")

    def _pause(self) -> float | None:
        """Until the next look; None: nothing is looked for."""
        since = [kept.since for kept in self._all() if not kept.went_on]
        return min(max(_SOON_SECONDS, monotonic() - max(since)), _LOOK_SECONDS) if since else None

    def _look(self) -> None:
        """What came to be let go before it began is judged by it."""
        waiting = [kept for kept in self._all() if not kept.went_on]
        if not waiting:
            return
        try:
            halves = _halves(self._channels())
        except LightningError as problem:  # another process of ours may have let any of them go: so nothing is said
            log.warning("what others pay waits for our node's channels: %s", problem)
            return
        for kept in waiting:
            if self._has_ended:
                return
            self._judge(kept, halves)

    def _judge(self, kept: _Kept, halves: Mapping[Circuit, Htlc]) -> None:
        waited = monotonic() - kept.since
        if is_late(kept.part, self._height):
            self._end(kept, RESUME)
        elif (half := halves.get(kept.part.circuit)) is None:
            kept.went_on = waited >= _SHOWS_SECONDS
        elif half.other_channel:
            kept.went_on = True
        elif kept.part.circuit not in self._went:
            self._judge_new(kept, half)
        elif waited >= _GIVEN_UP_SECONDS:
            self._end(kept, FAIL)

    def _judge_new(self, kept: _Kept, half: Htlc) -> None:
        """Where it is not locked in it is on its way out."""
        if half.locked_in:
            self._end(kept, RESUME)


def _halves(channels: Sequence[Channel]) -> dict[Circuit, Htlc]:
    """The parts that our node has from others."""
    return {Circuit(each.known_as, htlc.index): htlc for each in channels for htlc in each.htlcs if htlc.incoming}
