"""LND's questions are read in a process of its own, which does nothing else.

In ours many threads reckon, and Python lets one at a time: others' payments would wait for each of them. The other
process answers by itself what cannot be for a channel that we promised, and hands us the rest; it ends with us. Run as
`python -m streams.apart NUMBER`, with a connection of that number to whoever began it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

from lightning.credentials import Credentials
from lightning.errors import LightningError, NodeUnavailable
from lightning.interception import Held, Interception
from lightning.node import LndNode
from lightning.parts import RESUME, Answer, Circuit, Intercepted, may_be_promised
from streams.before import Before

log = logging.getLogger(__name__)

_ROOT: Final = Path(__file__).resolve().parents[1]
#: What whoever began it has not read: more than that it never gets, so that it cannot keep LND waiting.
_MOST_UNREAD: Final = 1_000
_TELL_SECONDS: Final = 2.0
#: A node that does not list its channels within that is asked all the same: others' payments fail meanwhile.
_LIST_SECONDS: Final = 10.0
_END_SECONDS: Final = 2.0


class Apart:
    """The other process: begun with the first stream, and anew where it has died."""

    def __init__(self, credentials: Callable[[], Credentials]) -> None:
        self._credentials = credentials
        self._sending = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._number = 0
        #: How many parts it has let go by itself.
        self.passed = 0

    def open(self, height: int = 0) -> Stream:
        """A stream of LND's questions, in place of any before; its newest block is `height` (0: nobody knows)."""
        self._number += 1
        stream = Stream(self, self._line or self._begin(), self._number)
        self.say("open", self._number, replace(self._credentials(), recognises=None), height)
        return stream

    def _begin(self) -> Connection:
        line, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # ours, and nobody's words in it
                [sys.executable, "-m", "streams.apart", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": str(_ROOT)},
                start_new_session=True,
            )
        self._line = line
        return line

    def say(self, *what: object) -> None:
        """The other process hears it, if it is there."""
        with self._sending, suppress(OSError):
            if self._line is not None:
                self._line.send(what)

    def end(self) -> None:
        """The other process has ended. Repeat: safe."""
        line, process, self._line, self._process = self._line, self._process, None, None
        if process is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        if line is not None:
            line.close()


class Stream:
    """As `Interception`, of those parts that may be for a channel that we promised."""

    def __init__(self, apart: Apart, line: Connection, number: int) -> None:
        self._apart, self._line, self._number = apart, line, number
        self._held = Held()
        self._opened_at = 0.0

    @property
    def lasts_seconds(self) -> float:
        """For how long LND has been asked; 0: it was not yet."""
        return monotonic() - self._opened_at if self._opened_at else 0.0

    def __iter__(self) -> Iterator[Intercepted]:
        """Raises: NodeUnavailable: it is over."""
        try:
            while True:
                if (part := self._hear(*self._line.recv())) is not None:
                    yield part
        except (EOFError, OSError):
            self._apart.end()
            raise NodeUnavailable("The process that reads what LND asks has ended.") from None
        finally:
            self._held.clear()

    def _hear(self, kind: str, number: int, *facts: Any) -> Intercepted | None:
        if kind == "passed":
            self._apart.passed += facts[0]
        elif number != self._number:
            return None  # of a stream before
        elif kind == "opened":
            self._opened_at = monotonic()
        elif kind == "ended":
            raise NodeUnavailable(facts[0], reason=facts[1])
        else:
            part: Intercepted = facts[0]
            self._held.took(part)
            return part
        return None

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        """As `Interception.answer`."""
        return self._held.answered(circuit, lambda: self._apart.say("answer", self._number, circuit, answer))

    def let_go(self, circuit: Circuit) -> bool:
        """The part is none of ours: it goes on, unless it did before. Returns as `answer`."""
        return self._held.answered(circuit, lambda: self._apart.say("let_go", self._number, circuit))

    def block_came(self, height: int) -> None:
        """As `Interception.block_came`."""
        self._held.block_came(height)
        self._apart.say("block_came", self._number, height)

    def close(self) -> None:
        """The stream is over. Repeat: safe."""
        self._held.clear()
        self._apart.say("close", self._number)


class Asked:
    """One stream of LND's. What it asks at first is let go once the node's channels show that it has not gone on."""

    def __init__(self, credentials: Credentials, height: int, failed: set[Circuit]) -> None:
        """As `Before`; which looks before there is a stream. Raises: NodeUnavailable."""
        node = LndNode(replace(credentials, network=""))  # who began this process knows the node
        self._before = _before(node, self.answer, height, failed)
        self._stream = Interception(credentials)

    def parts(self) -> Iterator[Intercepted]:
        """Raises: NodeUnavailable: it is over."""
        try:
            for part in self._stream:
                if self._before is not None:
                    self._before.meet(part)
                yield part
        finally:
            self.close()

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        """As `Interception.answer`."""
        return self._stream.answer(circuit, answer)

    def let_go(self, circuit: Circuit) -> None:
        """The part is none of ours."""
        if self._before is None or not self._before.let_go(circuit):
            self._stream.answer(circuit, RESUME)

    def block_came(self, height: int) -> None:
        """As `Interception.block_came`."""
        self._stream.block_came(height)
        if self._before is not None:
            self._before.block_came(height)

    def close(self) -> None:
        """The stream is over. Repeat: safe."""
        self._stream.close()
        if self._before is not None:
            self._before.close()


def _before(
    node: LndNode, answer: Callable[[Circuit, Answer], object], height: int, failed: set[Circuit]
) -> Before | None:
    """None: the node does not list its channels. Raises: NodeUnavailable: it is not there."""
    try:
        return Before(partial(node.channels, seconds=_LIST_SECONDS), answer, height, failed)
    except LightningError as problem:
        if problem.reason == "NODE_NOT_READY":
            raise
        node.require_active()
        log.warning("all that others pay is let go at once: %s", problem)
        return None


class Reader:
    """What the other process does: one stream at a time, and whoever began it is told of what may be promised."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._number = 0
        self._asked: Asked | None = None
        self._failed: set[Circuit] = set()
        self._unread: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._passed = 0

    def run(self) -> None:
        """Until whoever began it is gone."""
        threading.Thread(target=self._tell, daemon=True).start()
        with suppress(EOFError, OSError):
            while True:
                self._do(*self._line.recv())

    def _do(self, what: str, number: int, *facts: Any) -> None:
        if what == "open":
            self._number = number
            self._close()
            threading.Thread(target=self._read, args=(number, *facts), daemon=True).start()
        elif number == self._number and self._asked is not None:
            getattr(self._asked, what)(*facts)

    def _close(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.close()

    def _read(self, number: int, credentials: Credentials, height: int) -> None:
        try:
            asked = Asked(credentials, height, self._failed)
            if number != self._number:
                asked.close()
                return
            self._asked = asked
            self._unread.put(("opened", number))
            for part in asked.parts():
                self._take(number, asked, part)
        except LightningError as problem:
            self._unread.put(("ended", number, str(problem), problem.reason))
        except Exception as defect:  # noqa: BLE001  whoever began it says so
            self._unread.put(("ended", number, repr(defect), ""))

    def _take(self, number: int, asked: Asked, part: Intercepted) -> None:
        if may_be_promised(part.scid) and self._unread.qsize() < _MOST_UNREAD:
            self._unread.put(("part", number, part))
        else:
            asked.let_go(part.circuit)
            self._passed += 1

    def _tell(self) -> None:
        told = 0
        with suppress(OSError):
            while True:
                with suppress(Empty):
                    self._line.send(self._unread.get(timeout=_TELL_SECONDS))
                if (passed := self._passed) > told:
                    self._line.send(("passed", 0, passed - told))
                    told = passed


def main() -> None:
    """Until whoever began it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Reader(Connection(int(sys.argv[1]))).run()
    os._exit(0)  # a stream's threads may hang


if __name__ == "__main__":
    main()
