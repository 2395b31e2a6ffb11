"""One long-lived process that we started: its output, its end, and when it may start again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_CHILD = Path(__file__).with_name("child.py")
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_SETTLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how long it may take to end when asked."""

    name: str
    command: tuple[str, ...]
    stop_seconds: float


class Child:
    """A program that is kept running, in a process group of its own. It ends with us, however we end."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # of the monotonic clock
        self.restart_at = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self._unfinished = b""

    @property
    def is_running(self) -> bool:
        """The main process of the group lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def output(self) -> int:
        """The file descriptor of its stdout and stderr."""
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout.fileno()

    def start(self) -> None:
        """It runs. To be called by the main thread only: the death signal watches the thread that forks."""
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(_CHILD), "--signal", "TERM", str(os.getpid()), *self.program.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        os.set_blocking(self.output, False)
        self.started_at = time.monotonic()

    def lines(self) -> list[str] | None:
        """What it wrote since the last call, whole lines only; None when it has closed its output."""
        try:
            piece = os.read(self.output, 65536)
        except BlockingIOError:
            return []
        if not piece:
            rest, self._unfinished = self._unfinished, b""
            return [rest.decode(errors="replace")] if rest else None
        *whole, self._unfinished = (self._unfinished + piece).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def ask_to_end(self) -> None:
        """The main process has SIGTERM. Not its group: the queue's workers must hear it from their main process."""
        if self.is_running and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def kill_group(self) -> None:
        """Nothing of its group is left. Repeat: safe while `process` is kept (its pid cannot be another's)."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """The pipe is closed and the process forgotten."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        self._unfinished = b""

    def plan_restart(self) -> float:
        """It may start again after a pause that grows while it keeps dying young. Returns the pause."""
        if time.monotonic() - self.started_at > _SETTLED_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self.restart_at = time.monotonic() + pause
        return pause
