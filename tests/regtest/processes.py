"""Programs that live exactly as long as somebody needs them, and the ports they listen on."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

#: Below the range from which systems take ports for outgoing connections, so that a program which restarts finds its
#: port still free.
PORTS = range(15_000, 32_000)

# The kernel kills a child when the *thread* that started it ends: all programs are started by this one thread, which
# lives as long as Python does.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")

# Runs between fork and program: asks the kernel for SIGKILL at the parent's death, then becomes the program. A separate
# interpreter rather than `preexec_fn`, which is unsafe beside gRPC's threads.
_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""

_running: weakref.WeakSet[Program] = weakref.WeakSet()
_held: dict[int, socket.socket] = {}


class ProgramDied(RuntimeError):
    """A program ended by itself; the message carries the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that no program uses and that no other test network will pick, until this process ends.

    The UDP twin of the port is the mark: none of our programs speaks UDP, and the system drops it with the process.
    """
    for port in random.sample(PORTS, 1000):
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _held[port] = mark
        return port
    raise OSError("no free port on 127.0.0.1")


def release_port(port: int) -> None:
    """The port may be picked again."""
    if mark := _held.pop(port, None):
        mark.close()


class Program:
    """One program at a time, started again as often as needed; its output goes to one log file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.is_paused = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Raises: ProgramDied when there is no process."""
        if self._process is None or self._process.poll() is not None:
            raise ProgramDied(f"{self.name} is not running; its log ends:\n{self.log_tail()}")
        return self._process.pid

    def launch(self, command: list[str]) -> None:
        """The program runs; nothing is said about its being ready."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        self._process = _starter.submit(self._popen, command).result()
        self.is_paused = False
        _running.add(self)

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        with self.log.open("ab") as log:
            # Its own session: Ctrl-C in a terminal reaches us, and we stop the programs in order.
            return subprocess.Popen(
                launcher + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def terminate(self, timeout: float = 30) -> None:
        """The program has ended: asked nicely, killed when it does not listen. Repeat: safe."""
        if self._process is None:
            return
        if self.is_running and not self.is_paused:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """The program is gone without a chance to tidy up (SIGKILL). Repeat: safe."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.is_paused = False

    def pause(self) -> None:
        """The program stands still (SIGSTOP): connections stay open and nothing answers."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        if sys.platform == "linux":  # a busy machine lets it answer once more before all its threads stand
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.is_paused = True

    def resume(self) -> None:
        """A paused program goes on."""
        os.kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def log_tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@atexit.register
def _kill_all() -> None:
    """Nothing outlives the interpreter, also where the kernel does not see to it."""
    for program in list(_running):
        program.kill()
