"""Worker and streams killed -9 while they close a channel: it is closed once, as was wanted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.closed_down import BOUNDARIES, FORCED, TOGETHER, ClosedDown
from tests.chaos.mortal import AFTER, AMIDST, BEFORE, ROLE, SCOPES, STREAMS, WHENS, WORKER, Death
from tests.chaos.processes import Zygote
from tests.chaos.runs import CASTS, Plan
from tests.chaos.tally import TALLY
from tests.property.inside import Loop

Start = Callable[[Plan, str], ClosedDown]

#: Where most can go wrong: in every run of the tests.
_EDGES = (
    ("CloseChannel", BEFORE, TOGETHER),
    ("CloseChannel-answer", AMIDST, TOGETHER),
    ("CloseChannel-answer", AFTER, FORCED),
    ("COMMIT-after-CloseChannel", BEFORE, TOGETHER),
)
#: By their names: the deaths before it are other tests' concern.
_NAMES = ("CloseChannel", "CloseChannel-answer", "COMMIT-after-CloseChannel")
_LONG = range(2_000, 2_100)


@pytest.fixture
def start(zygote: Zygote, loop: Loop, tmp_path: Path, transactional_db: None) -> Iterator[Start]:
    runs: list[ClosedDown] = []

    def started(plan: Plan, kind: str) -> ClosedDown:
        runs.append(ClosedDown(plan, zygote, loop, tmp_path, kind=kind))
        return runs[-1]

    yield started
    for run in runs:
        run.close()
        print("met:", run.processes.met)
        TALLY.add(1, len(run.plan.deaths), [role for role, _ in run.processes.met])


@pytest.mark.parametrize("edge", _EDGES, ids=lambda edge: f"{edge[1]}-{edge[0]}-{edge[2]}")
def test_a_process_killed_where_a_channel_is_closed_closes_it_once(start: Start, edge: tuple[str, str, str]) -> None:
    name, when, kind = edge
    run = start(Plan("closed_down", deaths=(Death(WORKER, 1, when, ROLE, name),)), kind)
    run.live()
    assert run.processes.met, "nobody died"


def _singles() -> Iterator[tuple[Plan, str]]:
    for kind in (TOGETHER, FORCED):
        for role, cast in ((WORKER, CASTS[0]), (STREAMS, CASTS[1])):
            for number, (name, when) in enumerate((name, when) for name in _NAMES for when in WHENS):
                yield Plan("closed_down", cast, (Death(role, 1, when, SCOPES[number % 3], name),)), kind


@pytest.mark.long
@pytest.mark.parametrize(("plan", "kind"), list(_singles()))
def test_a_process_killed_at_any_boundary_of_it_closes_it_once(start: Start, plan: Plan, kind: str) -> None:
    start(plan, kind).live()


@pytest.mark.long
@pytest.mark.parametrize("number", _LONG)
def test_processes_killed_at_random_close_it_once(start: Start, number: int) -> None:
    dice = random.Random(number)
    cast = dice.choice(CASTS)
    deaths = []
    for _ in range(dice.choice((1, 2, 2))):
        role = cast[-1]
        if dice.random() < 0.5:
            deaths.append(Death(role, dice.randint(1, 2), dice.choice(WHENS), dice.choice(SCOPES), dice.choice(_NAMES)))
        else:
            at = 80 + dice.randint(1, BOUNDARIES[role])
            deaths.append(Death(role, at, dice.choice(WHENS), dice.choice(SCOPES)))
    start(Plan("closed_down", cast, tuple(deaths)), dice.choice((TOGETHER, FORCED))).live()
