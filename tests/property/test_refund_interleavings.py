"""Random interleavings once more, of buyers who pay on chain and want what is theirs back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.machine import Purchases
from tests.property.refunds import Refunds
from tests.property.test_interleavings import OPTIONS, machine

__all__ = ["machine", "refunding_machine"]


@pytest.fixture
def refunding_machine(machine: type[Purchases]) -> type[Refunds]:
    """The machine whose buyers pay on chain, set up as the other."""

    class Configured(Refunds):
        configure = machine.configure  # type: ignore[assignment]

    Configured.loop = machine.loop
    return Configured


def test_no_interleaving_loses_money_that_goes_back(refunding_machine: type[Refunds]) -> None:
    options: Any = settings(max_examples=2, stateful_step_count=22, derandomize=True, **OPTIONS)
    run_state_machine_as_test(refunding_machine, settings=options)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(6))
def test_no_interleaving_of_very_many_loses_money_that_goes_back(refunding_machine: type[Refunds], batch: int) -> None:
    """Others at each run; what fails is shrunk and printed with what repeats it."""
    options = settings(max_examples=25, stateful_step_count=40, **OPTIONS)
    run_state_machine_as_test(refunding_machine, settings=options)
