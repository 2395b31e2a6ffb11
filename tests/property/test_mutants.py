"""The machine finds what it is there for: with one guard taken out it tells the loss that the guard prevents."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from lightning.node import LndNode
from orders import advance, keys, reservations
from orders.admission import placing
from orders.models import ChannelOrder, Reservation
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import returning
from orders.states import Firmness, InvoiceState, OrderState
from orders.wallet import budget, coins
from tests.property.machine import Purchases
from tests.property.shortage import Shortage
from tests.property.test_interleavings import OPTIONS, machine
from tests.property.test_shortage import shortage

__all__ = ["machine", "shortage"]

MOST_EXAMPLES = 100


@dataclass(frozen=True)
class Mutant:
    """One guard taken out, and what is said once it was missed."""

    name: str
    take_out: Callable[[pytest.MonkeyPatch], None]
    told: str


def settle_as_soon_as_it_is_held(patch: pytest.MonkeyPatch) -> None:
    def paid(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
        if order.invoice is not None and order.invoice.state == InvoiceState.HELD:
            node.settle_invoice(keys.preimage(order.pk))
        return whole(order, node, now)

    whole = advance._paid
    patch.setitem(advance._STEPS, OrderState.PAID, paid)


def return_without_the_nodes_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lightning_rail, "finish_return", lambda order_id, node: returning.record_cancelled(order_id))


def leave_coins_leased(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coins, "held", lambda lock_id, node: [])


def never_settle(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lightning_rail, "settle", lambda order_id, node: None)


MUTANTS = (
    Mutant("settles early", settle_as_soon_as_it_is_held, "was settled, and no funding is published"),
    Mutant("returns unseen", return_without_the_nodes_word, "node (ACCEPTED|OPEN), we cancelled"),
    Mutant("never settles", never_settle, "node (ACCEPTED|CANCELED), we|was delivered for nothing|never rests"),
    Mutant("leaves leases", leave_coins_leased, "stays leased"),
)


# Where coins are short


def evict_who_is_reached(patch: pytest.MonkeyPatch) -> None:
    def held(ours: Reservation) -> list[Any]:
        rows = placing._live().filter(firmness__in=[Firmness.HELD, Firmness.REACHED, Firmness.FIRM])
        return [placing._claim(row) for row in rows.exclude(order=ours.order_id)]

    patch.setattr(placing, "_held", held)


def ask_for_no_budget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budget, "left_sat", lambda order: 10**9)


def look_for_no_mark(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChannelOrder, "is_going", False)


def lift_the_mark_of_who_claims(patch: pytest.MonkeyPatch) -> None:
    def paid(order: ChannelOrder, before: str, now: datetime) -> dict[str, Any]:
        return {**whole(order, before, now), "gives_way_at": None}

    whole = reservations._paid
    patch.setattr(reservations, "_paid", paid)


SHORTAGES = (
    Mutant(
        "evicts who is reached",
        evict_who_is_reached,
        "(was (reached|firm|being opened)|has an attempt) and (was )?told to go",
    ),
    Mutant("asks for no budget", ask_for_no_budget, "has a fee budget of"),
    Mutant("looks for no mark", look_for_no_mark, "told to go, and still there"),
    Mutant("lifts a mark", lift_the_mark_of_who_claims, "the mark was lifted"),
)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_a_missing_guard_costs(
    machine: type[Purchases], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    class Watched(machine):  # type: ignore[valid-type, misc]
        # Nothing here needs these, and every step that shows nothing makes the search longer.
        unclaim = staff = customer_closes = web_dies_while_it_sells = engine_dies_at_a_look = fees_move = None

    mutant.take_out(monkeypatch)
    look_for(mutant, Watched)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", SHORTAGES, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_it_costs_where_coins_are_short(
    shortage: type[Shortage], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    mutant.take_out(monkeypatch)
    look_for(mutant, shortage)


def look_for(mutant: Mutant, among: type[Purchases], *, examples_at_most: int = MOST_EXAMPLES, steps: int = 30) -> None:
    """The machine has told the loss; how long it took is printed."""
    found: list[str] = []
    begun, examples = time.monotonic(), itertools.count()

    class Told(among):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            next(examples)
            super().__init__()

        def checked(self, check: Any, *arguments: Any) -> None:
            try:
                super().checked(check, *arguments)
            except AssertionError as false:
                found.append(str(false))
                raise

    only_found = {**OPTIONS, "phases": [Phase.generate]}  # the smallest example is of no interest here
    options = settings(max_examples=examples_at_most, stateful_step_count=steps, derandomize=True, **only_found)
    with pytest.raises((AssertionError, Flaky, BaseExceptionGroup)):
        run_state_machine_as_test(Told, settings=options)
    print(f"{mutant.name}: found in {time.monotonic() - begun:.0f} s, {next(examples)} examples")
    assert any(re.search(mutant.told, text) for text in found), found[:1]
