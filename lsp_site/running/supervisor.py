"""Keeps a set of programs running until it is told to stop, and then leaves nothing behind.

One thread: it reads all output, prefixes it, restarts what died, and calls its watches. What dies without a word (the
queue stalls when one of its processes was killed, a lane hangs) is seen by a watch on the heartbeats.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from lsp_site.running.processes import Child, Program

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TURN_SECONDS = 0.3


class Stopped(BaseException):
    """Somebody asked us to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Stop:
    """The first signal raises Stopped once; a later one only asks the stopping to hurry."""

    def __init__(self) -> None:
        self.asked = False
        self.hurry = False

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Raises: Stopped."""
        if self.asked:
            self.hurry = True
            return
        self.asked = True
        raise Stopped(signal_number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The signals come to us."""
        earlier = {number: signal.signal(number, self) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


@dataclass(slots=True)
class Watch:
    """Something to look at every so often. When it answers False it is over."""

    look: Callable[[], bool]
    every_seconds: float
    due_at: float = 0.0


class Supervisor:
    """The programs run until Stopped is raised."""

    def __init__(self, programs: Sequence[Program], say: Callable[[str], None], stop: Stop) -> None:
        self.children = {program.name: Child(program) for program in programs}
        self.watches: list[Watch] = []
        self._say = say
        self._stop = stop
        self._selector = selectors.DefaultSelector()
        self._width = max(len(name) for name in self.children)

    def run(self) -> None:
        """All programs run; this returns only by an exception, and then none of them is left."""
        try:
            for child in self.children.values():
                self._start(child)
            while True:
                self._turn()
        except Stopped:
            self._say("Stopping: what has been begun is given its time …")
            raise
        finally:
            self.end_all()

    def _turn(self) -> None:
        self._pass_on_output(_TURN_SECONDS)
        for child in self.children.values():
            if child.process is not None and not child.is_running:
                self._bury(child, f"ended with {child.process.returncode}")
            elif child.process is None and time.monotonic() >= child.restart_at:
                self._start(child)
        for watch in list(self.watches):
            if time.monotonic() >= watch.due_at:
                watch.due_at = time.monotonic() + watch.every_seconds
                if not watch.look():
                    self.watches.remove(watch)

    def _start(self, child: Child) -> None:
        child.start()
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def replace(self, name: str, reason: str) -> None:
        """The program and all of its group is killed; it starts again after a pause."""
        self._bury(self.children[name], reason)

    def _bury(self, child: Child, reason: str) -> None:
        child.kill_group()
        self._drain(child)
        pause = child.plan_restart()
        self._line(child, f"{reason}; starts again in {pause:g} s")

    def _pass_on_output(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            child: Child = key.data
            lines = child.lines()
            if lines is None:
                self._selector.unregister(key.fd)
            for line in lines or ():
                self._line(child, line)

    def _drain(self, child: Child) -> None:
        """The last words of an ended group are passed on, and its pipe is closed."""
        if child.process is None:
            return
        if child.output in self._selector.get_map():
            self._selector.unregister(child.output)
        while lines := child.lines():
            for line in lines:
                self._line(child, line)
        child.close()

    def _line(self, child: Child, line: str) -> None:
        self._say(f"{child.program.name:<{self._width}} | {line}")

    def end_all(self) -> None:
        """Every group has ended: asked first, killed when its time is over. Repeat: safe."""
        begun = time.monotonic()
        for child in self.children.values():
            child.ask_to_end()
        for child in self.children.values():
            deadline = begun + child.program.stop_seconds
            while child.is_running and time.monotonic() < deadline and not self._stop.hurry:
                self._pass_on_output(0.1)
            if child.is_running:
                self._line(child, "did not end in time and is killed")
            child.kill_group()
            self._drain(child)
