"""Random interleavings of buyers who ask for more coins than there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property import witness
from tests.property.inside import Loop
from tests.property.shortage import Shortage
from tests.property.test_interleavings import OPTIONS, configured


@pytest.fixture
def shortage(
    loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Shortage]]:
    settings.MAX_FUNDING_FEE_SAT = 10**7  # the budgets alone bind
    with witness.present():
        yield configured(Shortage, loop, settings, monkeypatch)


def test_no_interleaving_takes_coins_from_who_has_earned_them(shortage: type[Shortage]) -> None:
    options = settings(max_examples=3, stateful_step_count=20, derandomize=True, **OPTIONS)
    run_state_machine_as_test(shortage, settings=options)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(5))
def test_no_interleaving_of_very_many_takes_coins_from_who_has_earned_them(
    shortage: type[Shortage], batch: int
) -> None:
    """Others at each run; what fails is shrunk and printed with what repeats it."""
    options = settings(max_examples=25, stateful_step_count=50, **OPTIONS)
    run_state_machine_as_test(shortage, settings=options)
