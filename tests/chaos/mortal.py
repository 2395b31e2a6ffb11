"""One of our processes as it runs in earnest, but mortal: it is killed by its own hand at a chosen boundary.

A boundary is a call to the node or a COMMIT. SIGKILL leaves no time for anything, so it does not matter whose it is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.management import call_command
from django.db.backends.base.base import BaseDatabaseWrapper

from lightning.calls import Calls
from lightning.negotiation import Negotiation
from lightning.streams import LndStreams
from orders import tasks
from orders.openings import committing, opening
from streams import lanes
from tests.chaos import guards, jit_guards

T = TypeVar("T")

WEB, WORKER, STREAMS = "web", "worker", "streams"
ROLES = (WEB, WORKER, STREAMS)
#: No service: staff run `manage.py coins`, and nobody starts it again.
COINS = "coins"

#: Before the call is sent; while it is on its way; when the node has answered and we have not read the answer.
BEFORE, AMIDST, AFTER = "before", "amidst", "after"
WHENS = (BEFORE, AMIDST, AFTER)

#: Who dies: this one process, its whole role (as systemd would kill a service), or all three roles at once.
PROCESS, ROLE, ALL = "process", "role", "all"
SCOPES = (PROCESS, ROLE, ALL)

#: As long as a call to a node on this machine takes.
_AMIDST_SECONDS = 0.001


@dataclass(frozen=True)
class Death:
    """It comes at the so-manieth boundary of a process of this role; with a name, at its so-manieth in the whole role.

    Two looks may be two workers': each alone would never come to the second.
    """

    role: str
    at: int
    when: str
    scope: str
    name: str = ""


@dataclass
class Job:
    """What a child is told."""

    role: str
    folder: str
    #: Django's settings that differ from those of the zygote.
    settings: dict[str, Any]
    #: Seconds until a peer is silent: before it agrees to the channel, and before it signs.
    patience: tuple[float, float] = (5, 5)
    death: Death | None = None
    #: The file that is there once the death was met: whoever is started in our stead does not die of it again.
    marker: str = ""
    #: The guard of the server that is taken out (see `guards`).
    without: str = ""
    #: Of the command, where the role is one.
    arguments: list[str] = field(default_factory=list)


@dataclass
class Boundaries:
    """Counted in each process by itself, over all its threads."""

    job: Job
    count: int = 0
    #: The last call to the node, by thread: it tells what a COMMIT is about.
    _last: threading.local = field(default_factory=threading.local)
    #: A worker's pushers and monitors are no news: only a thread that has begun a look counts.
    is_counting: bool = False
    _looking: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _folder(self) -> Path:
        return Path(self.job.folder)

    def around(self, name: str, act: Callable[[], T]) -> T:
        """What `act` returns, unless this is where the process dies."""
        when = self.arrive(name)
        if when == AMIDST:
            threading.Thread(target=self._die_soon, args=(name,), daemon=True).start()
        result = act()
        if when == AFTER:
            self._die(name)
        return result

    def counts_here(self, looking: bool) -> None:
        """This thread has begun a look, or ended it."""
        self._looking.now = looking

    def arrive(self, name: str) -> str:
        """When it dies at this boundary; empty: it does not."""
        if not (self.is_counting or getattr(self._looking, "now", False)):
            return ""
        if not name.startswith("COMMIT"):
            self._last.name = name
        with self._lock:
            self.count += 1
            number = self.count
        self._write("boundaries", f"{self.job.role} {number} {name}")
        death = self.job.death
        if death is None or not self._is_of(death, name, number) or self._marker.exists():
            return ""
        if death.when == BEFORE:
            self._die(name)
        return death.when

    def _is_of(self, death: Death, name: str, number: int) -> bool:
        if death.name != name:
            return (death.name, death.at) == ("", number)
        lines = (line.split() for line in (self._folder / "boundaries").read_text().splitlines())
        return death.at == sum(line[::2] == [death.role, name] for line in lines)

    @property
    def last(self) -> str:
        """The name of this thread's last call to the node."""
        return getattr(self._last, "name", "nothing")

    def leave(self, name: str, when: str) -> None:
        """For those that cannot be called inside: the answer is there."""
        if when in {AMIDST, AFTER}:
            self._die(name)

    @property
    def _marker(self) -> Path:
        return self._folder / self.job.marker

    def _die_soon(self, name: str) -> None:
        time.sleep(_AMIDST_SECONDS)
        self._die(name)

    def _die(self, name: str) -> None:
        death = self.job.death
        assert death is not None
        self._marker.write_text(f"{death.when} {name}")
        for role in (*ROLES, COINS) if death.scope == ALL else ():
            if role != self.job.role and (group := self._folder / role).exists():
                _kill_group(int(group.read_text()))
        if death.scope == PROCESS:
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(os.getpgid(0), signal.SIGKILL)
        time.sleep(60)  # another thread of ours must not go on

    def _write(self, file: str, line: str) -> None:
        with (self._folder / file).open("a") as lines:
            lines.write(line + "\n")


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):  # it was quicker
        os.killpg(group, signal.SIGKILL)


def run(job: Job) -> None:
    """This process is the role, until it dies."""
    for name, value in job.settings.items():
        setattr(settings, name, value)
    opening.NEGOTIATE_SECONDS, committing.PENDING_SECONDS = job.patience  # type: ignore[misc]
    boundaries = Boundaries(job, is_counting=job.role != WORKER)
    _hook(boundaries)
    if job.without:
        (guards.GUARDS | jit_guards.JIT_GUARDS)[job.without]()
    if job.role == COINS:
        call_command("coins", *job.arguments)
    else:
        {WEB: _web, WORKER: _worker, STREAMS: _streams}[job.role]()


def _web() -> None:
    from gunicorn.app.wsgiapp import run as gunicorn  # it reads the settings when it is imported

    sys.argv = ["gunicorn", "--config", "python:lsp_site.running.gunicorn", "lsp_site.wsgi"]
    gunicorn()


def _worker() -> None:
    call_command("qcluster")  # it returns at once; as a program it would now wait for its children
    for child in multiprocessing.active_children():
        child.join()


def _streams() -> None:
    call_command("run_streams")


def _hook(boundaries: Boundaries) -> None:
    unary, stream, first, commit, listen = (
        Calls._call, Calls.changing_stream, Calls.first_of, BaseDatabaseWrapper._commit, LndStreams._listen,
    )  # fmt: skip

    def unary_hooked(self: Calls, call: Any, request: Any, **options: Any) -> Any:
        return boundaries.around(_name_of(call), lambda: unary(self, call, request, **options))

    def stream_hooked(self: Calls, call: Any, request: Any, **options: Any) -> Any:
        return boundaries.around(_name_of(call), lambda: stream(self, call, request, **options))

    def first_hooked(self: Calls, call: Any, request: Any, **options: Any) -> Any:
        return boundaries.around(f"{_name_of(call)}-answer", lambda: first(self, call, request, **options))

    def commit_hooked(self: BaseDatabaseWrapper) -> Any:
        return boundaries.around(f"COMMIT-after-{boundaries.last}", lambda: commit(self))

    async def listen_hooked(self: LndStreams, call: Any, request: Any, read: Any) -> AsyncIterator[Any]:
        """The first message counts: what comes later has a boundary where it is followed."""
        when = boundaries.arrive(_name_of(call))
        async for value in listen(self, call, request, read):
            boundaries.leave(_name_of(call), when)
            yield value

    Calls._call = unary_hooked  # type: ignore[method-assign]
    Calls.changing_stream = stream_hooked  # type: ignore[method-assign]
    Calls.first_of = first_hooked  # type: ignore[method-assign]
    BaseDatabaseWrapper._commit = commit_hooked  # type: ignore[method-assign]
    LndStreams._listen = listen_hooked  # type: ignore[method-assign, assignment]
    for answer in ("funding_request", "pending_outpoint"):
        setattr(Negotiation, answer, _hooked_method(boundaries, answer, getattr(Negotiation, answer)))
    for owner, look in ((tasks, "advance_order"), (tasks, "reconcile_all"), (lanes, "advance_if_due")):
        setattr(owner, look, _counting(boundaries, getattr(owner, look)))


def _hooked_method(boundaries: Boundaries, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def hooked(*args: Any, **options: Any) -> Any:
        return boundaries.around(name, lambda: method(*args, **options))

    return hooked


def _counting(boundaries: Boundaries, task: Callable[..., Any]) -> Callable[..., Any]:
    def counting(*args: Any) -> Any:
        boundaries.counts_here(True)
        try:
            return task(*args)
        finally:
            boundaries.counts_here(False)

    return counting


def _name_of(call: Any) -> str:
    path = call._method
    return (path.decode() if isinstance(path, bytes) else str(path)).rpartition("/")[2]
