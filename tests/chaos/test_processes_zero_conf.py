"""Worker and streams killed -9 while a zero-conf channel is opened: what its buyer has received is funded, once."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.at_once import AT_ONCE
from tests.chaos.conftest import StartRun
from tests.chaos.mortal import AFTER, BEFORE, ROLE, SCOPES, STREAMS, WHENS, WORKER, Death
from tests.chaos.runs import CASTS, Plan, boundaries

#: Around COMMITTED, the peer's signature, PUBLISHING and the publication: in every run of the tests.
_EDGES = (
    ("COMMIT-after-GetInfo", 1, BEFORE),
    ("FundingStateStep", 1, BEFORE),
    ("FundingStateStep", 1, AFTER),
    ("COMMIT-after-LeaseOutput", 1, BEFORE),
    ("PublishTransaction", 1, BEFORE),
)
_LONG = range(3_000, 3_150)


@pytest.mark.parametrize("edge", _EDGES, ids=lambda edge: f"{edge[2]}-{edge[0]}")
def test_a_process_killed_where_it_has_promised_keeps_its_word(start: StartRun, edge: tuple[str, int, str]) -> None:
    name, at, when = edge
    run = start(Plan("usable_at_once", deaths=(Death(WORKER, at, when, ROLE, name),)))
    run.live()
    assert run.processes.met, "nobody died"


def _singles() -> Iterator[Plan]:
    """At each boundary, before it and after it; who dies with it changes from one to the next."""
    for life in AT_ONCE:
        for role, cast in ((WORKER, CASTS[0]), (STREAMS, CASTS[1])):
            for at in range(1, boundaries(life, role, cast) + 1):
                for number, when in enumerate((BEFORE, AFTER)):
                    yield Plan(life, cast, (Death(role, at, when, SCOPES[(at + number) % 3]),))


def _name(plan: Plan) -> str:
    return "-".join([plan.life, *(f"{death.role}-{death.at}-{death.when}-{death.scope}" for death in plan.deaths)])


@pytest.mark.long
@pytest.mark.parametrize("plan", list(_singles()), ids=_name)
def test_a_process_killed_at_any_boundary_keeps_its_word(start: StartRun, plan: Plan) -> None:
    start(plan).live()


@pytest.mark.long
@pytest.mark.parametrize("number", _LONG)
def test_processes_killed_at_random_keep_their_word(start: StartRun, number: int) -> None:
    dice = random.Random(number)
    life, cast = dice.choice(sorted(AT_ONCE)), dice.choice(CASTS)
    roles = [dice.choice((cast[-1], cast[-1], *cast)) for _ in range(dice.choice((1, 2, 2)))]
    deaths = (
        Death(role, dice.randint(1, boundaries(life, role, cast)), dice.choice(WHENS), dice.choice(SCOPES))
        for role in roles
    )
    start(Plan(life, cast, tuple(deaths), node_restarts=dice.random() < 0.2)).live()
