"""Killed while who pays takes the coins of who does not, and while `manage.py coins` makes other coins of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.competing import COMPETING
from tests.chaos.conftest import StartRun
from tests.chaos.mortal import AFTER, BEFORE, COINS, SCOPES, STREAMS, WORKER, Death
from tests.chaos.reshapes import RESHAPING
from tests.chaos.runs import CASTS, Plan, boundaries, draw
from tests.chaos.test_processes_killed import _name

#: Drawn in every run of the tests.
_EVERY_TIME = range(112, 117)
_LONG = range(1_000, 1_200)
_LIVES = [*COMPETING, *RESHAPING]


def _evictions() -> Iterator[Plan]:
    """At each boundary, before it or after it; what the streams process does otherwise, in one life."""
    for life, role in ((life, role) for role in (WORKER, STREAMS) for life in COMPETING):
        if role == STREAMS and life != "gives_way":
            continue
        cast = CASTS[0] if role == WORKER else CASTS[1]
        for at in range(1, boundaries(life, role, cast) + 1):
            yield Plan(life, cast, (Death(role, at, (BEFORE, AFTER)[at % 2], SCOPES[at // 2 % 3]),))


def _reshapings() -> Iterator[Plan]:
    """Before and after each boundary of the command."""
    for life in RESHAPING:
        for at in range(1, boundaries(life, COINS, CASTS[0]) + 1):
            for number, when in enumerate((BEFORE, AFTER)):
                yield Plan(life, CASTS[0], (Death(COINS, at, when, SCOPES[(at + number) % 3]),))


@pytest.mark.long
@pytest.mark.parametrize("plan", [*_evictions(), *_reshapings()], ids=_name)
def test_a_process_killed_at_any_boundary_loses_nobody_and_no_coin(start: StartRun, plan: Plan) -> None:
    start(plan).live()


@pytest.mark.parametrize("number", [*_EVERY_TIME, *(pytest.param(number, marks=pytest.mark.long) for number in _LONG)])
def test_processes_killed_at_random_lose_nobody_and_no_coin(start: StartRun, number: int) -> None:
    run = start(draw(number, _LIVES))
    print(f"run {number}")
    run.live()


def test_runs_are_drawn_of_every_kind() -> None:
    plans = [draw(number, _LIVES) for number in _LONG]
    assert {plan.life for plan in plans} == set(_LIVES)
    assert {death.role for plan in plans for death in plan.deaths} >= {COINS, WORKER, STREAMS}
    assert {draw(number, _LIVES).life for number in _EVERY_TIME} & set(COMPETING)
    assert {draw(number, _LIVES).life for number in _EVERY_TIME} & set(RESHAPING)
