"""Web, worker and streams killed -9 while money goes back on chain: it goes once, and all of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.mortal import AFTER, BEFORE, ROLE, SCOPES, STREAMS, WHENS, WORKER, Death
from tests.chaos.processes import Zygote
from tests.chaos.runs import CASTS, Plan
from tests.chaos.sent_back import BOUNDARIES, SentBack
from tests.chaos.tally import TALLY
from tests.property.inside import Loop

#: The names of the boundaries where most can go wrong: in every run of the tests.
_EDGES = (
    ("PublishTransaction", 1, BEFORE),
    ("PublishTransaction", 2, AFTER),
    ("FinalizePsbt", 2, AFTER),
    ("COMMIT-after-FinalizePsbt", 1, AFTER),
)
_LONG = range(1_000, 1_150)


@pytest.fixture
def start(zygote: Zygote, loop: Loop, tmp_path: Path, transactional_db: None) -> Iterator[Callable[[Plan], SentBack]]:
    runs: list[SentBack] = []

    def started(plan: Plan) -> SentBack:
        runs.append(SentBack(plan, zygote, loop, tmp_path))
        return runs[-1]

    yield started
    for run in runs:
        run.close()
        print("met:", run.processes.met)
        TALLY.add(1, len(run.plan.deaths), [role for role, _ in run.processes.met])


@pytest.mark.parametrize("edge", _EDGES, ids=lambda edge: f"{edge[2]}-{edge[0]}-{edge[1]}")
def test_a_process_killed_where_money_is_sent_sends_it_once(
    start: Callable[[Plan], SentBack], edge: tuple[str, int, str]
) -> None:
    name, at, when = edge
    run = start(Plan("sent_back", deaths=(Death(WORKER, at, when, ROLE, name),)))
    run.live()
    assert run.processes.met, "nobody died"


def _singles() -> Iterator[Plan]:
    """At each boundary, before it or after it; who dies with it changes from one to the next."""
    for role, cast in ((WORKER, CASTS[0]), (STREAMS, CASTS[1])):
        for at in range(1, BOUNDARIES[role] + 1):
            for number, when in enumerate((BEFORE, AFTER)):
                yield Plan("sent_back", cast, (Death(role, at, when, SCOPES[(at + number) % 3]),))


def _name(plan: Plan) -> str:
    return "-".join(f"{death.role}-{death.at}-{death.when}-{death.scope}" for death in plan.deaths)


@pytest.mark.long
@pytest.mark.parametrize("plan", list(_singles()), ids=_name)
def test_a_process_killed_at_any_boundary_sends_money_once(start: Callable[[Plan], SentBack], plan: Plan) -> None:
    start(plan).live()


@pytest.mark.long
@pytest.mark.parametrize("number", _LONG)
def test_processes_killed_at_random_send_money_once(start: Callable[[Plan], SentBack], number: int) -> None:
    dice = random.Random(number)
    cast = dice.choice(CASTS)
    roles = [dice.choice((cast[-1], cast[-1], *cast)) for _ in range(dice.choice((1, 2, 2)))]
    deaths = (Death(role, dice.randint(1, BOUNDARIES[role]), dice.choice(WHENS), dice.choice(SCOPES)) for role in roles)
    start(Plan("sent_back", cast, tuple(deaths))).live()
