"""Streams and worker killed -9 while a channel opens just in time: its payer pays once, or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.jit_guards import JIT_GUARDS
from tests.chaos.just_in_time import BOUNDARIES, CASTS, JIT_LIVES, PaidJustInTime, name
from tests.chaos.mortal import AFTER, BEFORE, ROLE, SCOPES, STREAMS, WHENS, WORKER, Death
from tests.chaos.processes import Zygote
from tests.chaos.runs import Held, Plan
from tests.chaos.tally import TALLY
from tests.property.inside import Loop
from tests.regtest.payment import SUCCEEDED

Start = Callable[..., PaidJustInTime]

#: Around the promise, the signature, the alias, the word to the node, what was taken, and the publication.
_EDGES = (
    ("trusting_us", "COMMIT-after-ListPeers", 1, AFTER),
    ("trusting_us", "FundingStateStep", 1, AFTER),
    ("trusting_us", "XAddLocalChanAliases", 1, AFTER),
    ("trusting_us_in_parts", "COMMIT-after-GetInfo", 1, AFTER),
    ("trusting_us", "COMMIT-after-ForwardingHistory", 1, BEFORE),
    ("trusting_us_in_parts", "PublishTransaction", 1, BEFORE),
    ("trusted_by_us", "PublishTransaction", 1, AFTER),
    ("not_taken", "AbandonChannel", 1, BEFORE),
)
#: Drawn in every run of the tests; with those at the edges they are twenty.
_EVERY_TIME = range(12)
_LIMIT_SECONDS = 20.0
_LONG = range(5_000, 5_400)
#: The lives in which a process dies once at each boundary.
_EACH = ("trusting_us", "trusted_by_us", "trusting_us_in_parts", "held_at_first")
_TROUBLES = ("fail", "lose request", "lose reply")
_CHANGING = (
    "ConnectPeer", "OpenChannel", "FundPsbt", "FundingStateStep", "FinalizePsbt", "LeaseOutput", "XAddLocalChanAliases",
    "PublishTransaction", "ReleaseOutput", "DisconnectPeer", "AbandonChannel", "SendCustomMessage",
)  # fmt: skip


@pytest.fixture
def start(zygote: Zygote, loop: Loop, tmp_path: Path, transactional_db: None) -> Iterator[Start]:
    runs: list[PaidJustInTime] = []

    def started(plan: Plan, **options: float) -> PaidJustInTime:
        runs.append(PaidJustInTime(plan, zygote, loop, tmp_path, **options))
        return runs[-1]

    yield started
    for run in runs:
        run.close()
        print("met:", run.processes.met)
        TALLY.add(1, len(run.plan.deaths), [role for role, _ in run.processes.met])


@pytest.mark.parametrize("edge", _EDGES, ids=lambda edge: f"{edge[0]}-{edge[3]}-{edge[1]}")
def test_a_process_killed_where_a_payment_is_decided_loses_nobodys(
    start: Start, edge: tuple[str, str, int, str]
) -> None:
    life, boundary, at, when = edge
    run = start(Plan(life, CASTS[0], (Death(STREAMS, at, when, ROLE, boundary),)))
    run.live()
    assert run.processes.met, "nobody died"
    assert run.payer.states == ([SUCCEEDED] if life != "not_taken" else ["FAILED"])


# One death


def _singles() -> Iterator[Plan]:
    """Before or after each boundary; who dies with it changes from one to the next."""
    for life in _EACH:
        for at in range(1, BOUNDARIES[STREAMS] + 1):
            when, scope = (BEFORE, AFTER)[at % 2], SCOPES[at // 2 % 3]
            yield Plan(life, CASTS[0], (Death(STREAMS, at, when, scope),))


@pytest.mark.long
@pytest.mark.parametrize("plan", list(_singles()), ids=name)
def test_a_process_killed_at_any_boundary_loses_nobodys_payment(start: Start, plan: Plan) -> None:
    start(plan).live()


# What the deaths would cost, were a guard missing


@dataclass(frozen=True)
class Control:
    """The life, where in it a process dies, and what is seen when the guard is missing."""

    life: str
    when: str
    name: str
    seen: str
    at: int = 1
    node_restarts: bool = False

    def plan(self, without: str = "") -> Plan:
        deaths = (Death(STREAMS, self.at, self.when, ROLE, self.name),)
        return Plan(self.life, CASTS[0], deaths, node_restarts=self.node_restarts, without=without)


CONTROLS = {
    "a_part_is_told_the_same_each_time": Control(
        "held_at_first", AFTER, "", "were paid out by us", at=115, node_restarts=True
    ),
    "what_was_taken_is_published_by_whoever_sees_it": Control(
        "trusting_us", AFTER, "COMMIT-after-GetInfo", "never: whatever was opened"
    ),
    "nothing_is_published_that_was_not_taken": Control(
        "not_taken", AFTER, "PublishTransaction", "published: "
    ),
    "what_has_become_of_a_payment_the_history_says": Control(
        "trusting_us", AFTER, "COMMIT-after-GetInfo", "its buyer has taken it"
    ),
}  # fmt: skip
#: In every run of the tests; the others in the long one.
_SHORT = {"a_part_is_told_the_same_each_time", "what_has_become_of_a_payment_the_history_says"}
_GUARDS = [guard if guard in _SHORT else pytest.param(guard, marks=pytest.mark.long) for guard in CONTROLS]


def test_every_guard_has_its_control() -> None:
    assert set(CONTROLS) == set(JIT_GUARDS)


@pytest.mark.long
@pytest.mark.parametrize("guard", CONTROLS)
def test_the_same_death_with_the_guard_costs_nothing(start: Start, guard: str) -> None:
    start(CONTROLS[guard].plan()).live()


@pytest.mark.parametrize("guard", _GUARDS)
def test_control_without_the_guard_the_loss_is_seen(start: Start, guard: str) -> None:
    run = start(CONTROLS[guard].plan(without=guard), patience_seconds=_LIMIT_SECONDS)
    with pytest.raises(AssertionError, match=CONTROLS[guard].seen):
        run.live()


# One or two, and more that goes wrong


def draw(number: int) -> Plan:
    """The run of this number, the same each time."""
    dice = random.Random(number)
    life, cast = dice.choice(sorted(JIT_LIVES)), dice.choice(CASTS)
    deaths = tuple(_death(dice, cast) for _ in range(dice.choice((1, 2, 2))))
    trouble = (dice.choice(_CHANGING), dice.choice(_TROUBLES)) if dice.random() < 0.2 else None
    held = Held(dice.choice(_CHANGING), dice.random() < 0.5, dice.randrange(3)) if dice.random() < 0.15 else None
    return Plan(life, cast, deaths, trouble, held, node_restarts=dice.random() < 0.15)


def _death(dice: random.Random, cast: tuple[str, ...]) -> Death:
    role = dice.choice((STREAMS, *cast))
    return Death(role, dice.randint(1, BOUNDARIES[role]), dice.choice(WHENS), dice.choice(SCOPES))


@pytest.mark.parametrize("number", [*_EVERY_TIME, *(pytest.param(number, marks=pytest.mark.long) for number in _LONG)])
def test_processes_killed_at_random_lose_nobodys_payment(start: Start, number: int) -> None:
    run = start(draw(number))
    print(f"run {number}")
    run.live()


def test_there_are_as_many_runs_as_are_told_and_of_every_kind() -> None:
    assert len(_EDGES) + len(_EVERY_TIME) == 20
    plans = [draw(number) for number in _LONG]
    assert len(plans) + len(list(_singles())) >= 1_000
    deaths = [death for plan in plans for death in plan.deaths]
    assert {death.role for death in deaths} == {STREAMS, WORKER}
    assert {(death.when, death.scope) for death in deaths} == {(when, scope) for when in WHENS for scope in SCOPES}
    assert {(plan.life, plan.cast) for plan in plans} == {(life, cast) for life in JIT_LIVES for cast in CASTS}
    assert any(plan.trouble for plan in plans) and any(plan.held for plan in plans)
    assert any(plan.node_restarts for plan in plans)
