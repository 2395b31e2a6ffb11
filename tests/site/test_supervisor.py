"""The supervisor: what dies starts again, and what it started does not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lsp_site.running.processes import Child, Program
from lsp_site.running.silence import Beat, silent
from lsp_site.running.supervisor import Stop, Stopped, Supervisor, Watch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
#: A program whose own child would live on, like a worker of the queue.
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])
print(child.pid, flush=True)
child.wait()
"""


def program(code: str, name: str = "child", stop_seconds: float = 10) -> Program:
    return Program(name, (sys.executable, "-c", code), stop_seconds)


class Run:
    """A supervisor that runs until a watch says so."""

    def __init__(self, *programs: Program) -> None:
        self.said: list[str] = []
        self.supervisor = Supervisor(programs, self.said.append, Stop())

    def until(self, condition: Callable[[], bool]) -> list[str]:
        def look() -> bool:
            if condition():
                raise Stopped(signal.SIGTERM)
            return True

        self.supervisor.watches.append(Watch(look, every_seconds=0.05))
        with pytest.raises(Stopped):
            self.supervisor.run()
        return self.said

    def heard(self, line: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.said.count(line) >= times


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("lsp_site.running.processes._FIRST_PAUSE_SECONDS", 0.05)
    yield


def test_output_carries_the_name_of_who_wrote_it() -> None:
    run = Run(program(SLEEPER, "web"), program(SLEEPER, "streams"))
    said = run.until(lambda: len(run.said) >= 2)
    assert sorted(line for line in said if "|" in line) == ["streams | here", "web     | here"]


def test_a_program_that_dies_starts_again(short_pauses: None) -> None:
    run = Run(program("print('born')"))
    said = run.until(run.heard("child | born", times=2))
    assert any("ended with 0; starts again" in line for line in said)


def test_the_pause_grows_while_a_program_dies_young() -> None:
    child = Child(program("pass"))
    child.started_at = time.monotonic()
    assert [child.plan_restart() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    child.started_at = time.monotonic() - 1000
    assert child.plan_restart() == 1


def test_a_program_that_does_not_listen_is_killed() -> None:
    run = Run(program(STUBBORN, stop_seconds=0.2))
    said = run.until(run.heard("child | here"))
    assert said[-1] == "child | did not end in time and is killed"


def test_the_children_of_a_program_end_with_it() -> None:
    run = Run(program(PARENT))
    run.until(lambda: len(run.said) >= 2)
    pids = [int(line.split()[-1]) for line in run.said if line.split()[-1].isdecimal()]
    assert pids and eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_a_silent_worker_is_replaced_with_all_of_its_group(short_pauses: None) -> None:
    run = Run(program(PARENT, "worker"))
    replaced: list[list[int]] = []

    def look() -> bool:
        if len(run.said) >= 2 and not replaced:
            replaced.append([int(line.split()[-1]) for line in run.said if line.split()[-1].isdecimal()])
            run.supervisor.replace("worker", "was silent")
        return True

    run.supervisor.watches.append(Watch(look, every_seconds=0.05))
    run.until(lambda: bool(replaced) and run.said.count("worker | here") >= 2)
    assert eventually(lambda: not any(is_alive(pid) for pid in replaced[0]))
    assert any(line.startswith("worker | was silent; starts again") for line in run.said)


@pytest.mark.parametrize(
    ("beat_age", "running", "silent"),
    [(10, 1000, False), (181, 1000, True), (181, 100, False), (None, 100, False), (None, 181, True)],
)
def test_a_worker_is_silent_only_after_it_had_time_to_report(beat_age: int | None, running: int, silent: bool) -> None:
    beats = {} if beat_age is None else {"reconcile": Beat(NOW - timedelta(seconds=beat_age))}
    assert bool(silent_of("worker", beats, running)) is silent


def silent_of(program: str, beats: dict[str, Beat], running: float = 1000) -> list[str]:
    return silent(program, beats, running_seconds=running, now=NOW, stale_seconds=180)


FRESH, STALE = Beat(NOW - timedelta(seconds=9)), Beat(NOW - timedelta(seconds=181))


@pytest.mark.parametrize("hangs", ["streams", "looks", "openings"])
def test_a_lane_that_hangs_is_seen_while_the_rest_of_its_process_reports(hangs: str) -> None:
    beats = {"reconcile": FRESH, "streams": FRESH, "looks": FRESH, "openings": FRESH} | {hangs: STALE}
    assert (silent_of("streams", beats), silent_of("worker", beats)) == ([hangs], [])


def test_the_openings_are_judged_where_they_are_made() -> None:
    hang = Beat(STALE.at, "by=worker dialling=3")
    beats = {"reconcile": FRESH, "streams": FRESH, "looks": FRESH, "openings": hang}
    assert (silent_of("streams", beats), silent_of("worker", beats)) == ([], ["openings"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_programs_end_also_when_the_supervisor_is_killed() -> None:
    code = (
        "from lsp_site.running.processes import Child, Program; import sys, time\n"
        f"child = Child(Program('x', (sys.executable, '-c', {SLEEPER!r}), 1)); child.start()\n"
        "print(child.process.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert eventually(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"-c\0")[2])
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert eventually(lambda: not is_alive(pid))
