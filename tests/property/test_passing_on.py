"""Random interleavings of payments that are on their way through us to channels which are still to come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.inside import Loop
from tests.property.passing_on import PassingOn
from tests.property.test_interleavings import OPTIONS, configured


@pytest.fixture
def passing_on(loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[PassingOn]:
    settings.LSPS2_ENABLED = settings.LSPS2_ON_OLD_LND = True
    return configured(PassingOn, loop, settings, monkeypatch)


def test_no_interleaving_costs_a_wallet_or_its_payer_money(passing_on: type[PassingOn]) -> None:
    options = settings(max_examples=5, stateful_step_count=20, derandomize=True, **OPTIONS)
    run_state_machine_as_test(passing_on, settings=options)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(6))
def test_no_interleaving_of_very_many_costs_a_wallet_or_its_payer_money(
    passing_on: type[PassingOn], batch: int
) -> None:
    """Others at each run; what fails is shrunk and printed with what repeats it."""
    options = settings(max_examples=25, stateful_step_count=50, **OPTIONS)
    run_state_machine_as_test(passing_on, settings=options)
