"""Web, worker and streams killed -9 at every boundary of an order's life, alone and together, once and twice.

Every run is named by what is drawn of it, so the name of one that fails is all that is needed to see it again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.conftest import StartRun
from tests.chaos.lives import LIVES
from tests.chaos.mortal import AFTER, BEFORE, ROLES, SCOPES, STREAMS, WHENS, WORKER, Death
from tests.chaos.runs import CASTS, Plan, boundaries, draw

#: Drawn in every run of the tests.
_EVERY_TIME = range(12)
_LONG = (*range(12, 34), *range(1_000, 1_600))


# One death


#: The streams process does in the same steps what the worker does: one life of it is enough.
_SINGLE_CASTS = {life: CASTS[:2] if life == "named_at_purchase" else CASTS[:1] for life in LIVES}


def _singles() -> Iterator[Plan]:
    """Before and after each boundary; who dies with it changes from one to the next."""
    for life, casts in _SINGLE_CASTS.items():
        for cast in casts:
            for role in cast if WORKER in cast else (STREAMS,):
                for at in range(1, boundaries(life, role, cast) + 1):
                    for number, when in enumerate((BEFORE, AFTER)):
                        yield Plan(life, cast, (Death(role, at, when, SCOPES[(at + number) % 3]),))


def _name(plan: Plan) -> str:
    deaths = [f"{death.role}-{death.at}-{death.when}-{death.scope}" for death in plan.deaths]
    return "-".join([plan.life, *deaths])


@pytest.mark.long
@pytest.mark.parametrize("plan", list(_singles()), ids=_name)
def test_a_process_killed_at_any_boundary_costs_nothing(start: StartRun, plan: Plan) -> None:
    start(plan).live()


# One or two, and more that goes wrong


@pytest.mark.parametrize("number", [*_EVERY_TIME, *(pytest.param(number, marks=pytest.mark.long) for number in _LONG)])
def test_processes_killed_at_random_cost_nothing(start: StartRun, number: int) -> None:
    run = start(draw(number))
    print(f"run {number}")
    run.live()


def test_runs_are_drawn_of_every_kind() -> None:
    plans = [draw(number) for number in _LONG]
    deaths = [death for plan in plans for death in plan.deaths]
    assert {death.role for death in deaths} == set(ROLES)
    assert {(death.when, death.scope) for death in deaths} == {(when, scope) for when in WHENS for scope in SCOPES}
    assert {(plan.life, plan.cast) for plan in plans} == {(life, cast) for life in LIVES for cast in CASTS}
    assert any(plan.trouble for plan in plans) and any(plan.held for plan in plans)
    assert any(plan.node_restarts for plan in plans)
    assert len(plans) + len(list(_singles())) >= 2_000
