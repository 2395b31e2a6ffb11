"""The machine finds what it is there for: with one guard taken out it tells the loss that the guard prevents."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from lightning.node import LndNode
from orders import advance, keys
from orders.models import ChannelOrder
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import returning
from orders.states import InvoiceState, OrderState
from orders.wallet import coins
from tests.property.machine import Purchases
from tests.property.test_interleavings import OPTIONS, machine

__all__ = ["machine"]

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


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_a_missing_guard_costs(
    machine: type[Purchases], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    found: list[str] = []

    class Watched(machine):  # type: ignore[valid-type, misc]
        # Nothing here needs these, and every step that shows nothing makes the search longer.
        unclaim = staff = customer_closes = web_dies_while_it_sells = engine_dies_at_a_look = fees_move = None

        def checked(self, check: Any, *arguments: Any) -> None:
            try:
                super().checked(check, *arguments)
            except AssertionError as false:
                found.append(str(false))
                raise

    mutant.take_out(monkeypatch)
    only_found = {**OPTIONS, "phases": [Phase.generate]}  # the smallest example is of no interest here
    options = settings(max_examples=MOST_EXAMPLES, stateful_step_count=30, derandomize=True, **only_found)
    with pytest.raises((AssertionError, Flaky, BaseExceptionGroup)):
        run_state_machine_as_test(Watched, settings=options)
    assert any(re.search(mutant.told, text) for text in found), found[:1]
