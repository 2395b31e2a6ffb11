"""How soon a funding is to be in a block, as was promised."""

from __future__ import annotations

import pytest

from orders import blocks
from orders.openings.promised import bump_after_seconds, conf_target

HOUR = 3600


@pytest.mark.parametrize(
    ("within", "waited_seconds", "target"),
    [
        (None, 0, 3),
        (None, 10**6, 3),
        (144, 0, 144),
        (144, blocks.SECONDS - 1, 144),  # no block has passed yet
        (144, 24 * HOUR - 1, 3),
        (144, 10**9, 3),
        (6, 0, 6),
        (6, 2 * blocks.SECONDS, 4),
        (3, 0, 3),
        (2, 0, 3),  # never sooner than every price has paid for
        (65_535, 0, 144),  # no funding keeps its change from others for longer than a day
    ],
)
def test_l1_75_the_fee_is_for_the_blocks_that_are_left(within: int | None, waited_seconds: int, target: int) -> None:
    assert conf_target(within, waited_seconds=waited_seconds, usual_blocks=3) == target


@pytest.mark.parametrize(
    ("within", "seconds"),
    [(None, 2 * HOUR), (144, 12 * HOUR), (6, 1800), (3, 1800), (65_535, 12 * HOUR)],
)
def test_l1_75_a_child_pays_when_half_of_what_was_promised_has_passed(within: int | None, seconds: int) -> None:
    assert bump_after_seconds(within, usual_blocks=3, usual_seconds=2 * HOUR) == seconds
