"""How many deaths were really met, for the last lines of a session. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Tally:
    """What the runs of a session have come to."""

    runs: int = 0
    planned: int = 0
    met: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        roles = ", ".join(f"{role} {times}" for role, times in sorted(self.met.items()))
        return f"killed: {self.runs} runs, {self.met.total()} of {self.planned} deaths met ({roles})"

    def add(self, runs: int, planned: int, met: Iterable[str] | dict[str, int]) -> None:
        """So many more runs are counted."""
        self.runs += runs
        self.planned += planned
        self.met.update(met)


TALLY = Tally()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells what it has counted to the one that speaks for all."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["killed"] = (TALLY.runs, TALLY.planned, dict(TALLY.met))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if counted := getattr(node, "workeroutput", {}).get("killed"):
        TALLY.add(*counted)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY.runs:
        terminalreporter.write_line(str(TALLY))
