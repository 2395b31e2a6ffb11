"""The server's three processes as a test has them: started in a moment, killed -9, and started again as by systemd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.mortal import PROCESS, Death
from tests.regtest.processes import free_port, release_port
from tests.regtest.waiting import until

ROOT = Path(__file__).resolve().parents[2]
_DEAD_SECONDS = 20.0


class Zygote:
    """The process that all roles of all runs are forked from."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        few = {"WORKERS": "2", "PARALLEL_OPENINGS": "1", "WEB_PROCESSES": "1"}
        environment = environment | few | {"LISTEN": f"127.0.0.1:{self.port}"}
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        assert self._read() == "ready"

    def fork(self, **job: Any) -> int:
        """The process group of the new role."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()
        release_port(self.port)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass
class Processes:
    """The roles of one run. Each has its deaths before it, one for each of its lives."""

    zygote: Zygote
    folder: Path
    roles: tuple[str, ...]
    settings: dict[str, Any]
    patience: tuple[float, float] = (5, 5)
    deaths: list[Death] = field(default_factory=list)
    without: str = ""
    _behind: set[int] = field(default_factory=set)
    _groups: dict[str, int] = field(default_factory=dict)
    #: Deaths that were met, as (role, "before FundPsbt").
    met: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.zygote.port

    def tend(self) -> None:
        """Who is dead lives again."""
        self._note_deaths()
        for role in self.roles:
            if not self.lives(role):
                self._start(role)

    def begin(self, role: str, *arguments: str) -> None:
        """Staff have started a command; nobody starts it again."""
        self._note_deaths()
        self._start(role, *arguments)

    def lives(self, role: str) -> bool:
        """It runs."""
        try:
            os.kill(self._groups[role], 0)
        except (KeyError, ProcessLookupError):
            return False
        return True

    def kill(self, *roles: str) -> None:
        """kill -9, for all of them where none is named: they are dead when this returns. Repeat: safe."""
        killed = [role for role in self._groups if role in roles or not roles]
        for role in killed:
            with suppress(ProcessLookupError):
                os.killpg(self._groups[role], signal.SIGKILL)
        until(lambda: not any(map(self.lives, killed)), "they are dead", timeout=_DEAD_SECONDS, pause=0.01)
        self._note_deaths()

    def log(self) -> str:
        """The last that each role said, for who reads why a test has failed."""
        return "\n".join(f"{file.name}: {file.read_text()[-3000:]}" for file in sorted(self.folder.glob("*.log")))

    def boundaries(self, role: str) -> list[str]:
        """What a process of the role has come to, as "FundPsbt"; of its longest life."""
        file = self.folder / "boundaries"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        lives: list[list[str]] = [[]]
        for _, number, name in (line for line in lines if line[0] == role):
            if int(number) == 1:
                lives.append([])
            lives[-1].append(name)
        return max(lives, key=len)

    def _start(self, role: str, *arguments: str) -> None:
        with suppress(KeyError, ProcessLookupError):  # what its main process has left behind
            os.killpg(self._groups[role], signal.SIGKILL)
        number = self._next_death(role)
        self._groups[role] = self.zygote.fork(
            role=role,
            folder=str(self.folder),
            settings=self.settings,
            patience=self.patience,
            death=None if number is None else asdict(self.deaths[number]),
            marker=f"died-{number}",
            without=self.without,
            arguments=arguments,
        )

    def _next_death(self, role: str) -> int | None:
        pending = (number for number, death in enumerate(self.deaths) if death.role == role)
        return next((number for number in pending if number not in self._behind), None)

    def _note_deaths(self) -> None:
        """A death that was met is behind: the next life of the role has the next one before it."""
        for number, death in enumerate(self.deaths):
            marker = self.folder / f"died-{number}"
            if number not in self._behind and marker.exists() and not self._is_dying(death):
                self._behind.add(number)
                self.met.append((death.role, marker.read_text()))

    def _is_dying(self, death: Death) -> bool:
        """Its marker is there a moment before it is dead; one process of several leaves its role alive."""
        return death.scope != PROCESS and self.lives(death.role)
