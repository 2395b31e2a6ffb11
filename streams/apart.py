"""LND's questions are read in a process of its own, which does nothing else.

In ours many threads reckon, and Python lets one at a time: others' payments would wait for each of them. The other
process answers by itself what cannot be for a channel that we promised, and hands us the rest; it ends with us. Run as
`python -m streams.apart NUMBER`, with a connection of that number to whoever began it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

from lightning.credentials import Credentials
from lightning.errors import LightningError, NodeUnavailable
from lightning.interception import Held, Interception
from lightning.parts import RESUME, Answer, Circuit, Intercepted, may_be_promised

_ROOT: Final = Path(__file__).resolve().parents[1]
#: What whoever began it has not read: more than that it never gets, so that it cannot keep LND waiting.
_MOST_UNREAD: Final = 1_000
_TELL_SECONDS: Final = 2.0
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

    def open(self) -> Stream:
        """A stream of LND's questions, in place of any before."""
        self._number += 1
        stream = Stream(self, self._line or self._begin(), self._number)
        self.say("open", self._number, replace(self._credentials(), recognises=None))
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

    def block_came(self, height: int) -> None:
        """As `Interception.block_came`."""
        self._held.block_came(height)
        self._apart.say("block", self._number, height)

    def close(self) -> None:
        """The stream is over. Repeat: safe."""
        self._held.clear()
        self._apart.say("close", self._number)


class Reader:
    """What the other process does: one stream at a time, and whoever began it is told of what may be promised."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._number = 0
        self._stream: Interception | None = None
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
            threading.Thread(target=self._read, args=(number, *facts), daemon=True).start()
        elif number == self._number and self._stream is not None:
            self._tell_lnd(self._stream, what, *facts)

    def _tell_lnd(self, stream: Interception, what: str, *facts: Any) -> None:
        if what == "answer":
            stream.answer(*facts)
        elif what == "block":
            stream.block_came(*facts)
        else:
            stream.close()

    def _read(self, number: int, credentials: Credentials) -> None:
        try:
            stream = self._stream = Interception(credentials)
            self._unread.put(("opened", number))
            for part in stream:
                self._take(number, stream, part)
        except LightningError as problem:
            self._unread.put(("ended", number, str(problem), problem.reason))
        except Exception as defect:  # noqa: BLE001  whoever began it says so
            self._unread.put(("ended", number, repr(defect), ""))

    def _take(self, number: int, stream: Interception, part: Intercepted) -> None:
        if may_be_promised(part.scid) and self._unread.qsize() < _MOST_UNREAD:
            self._unread.put(("part", number, part))
        else:
            stream.answer(part.circuit, RESUME)
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
