"""Of many channels the best and the worst: who reads both lists reads of no channel twice."""

from __future__ import annotations

from random import Random

import pytest

from orders.figures.extremes import Extremes, told_apart

MOST = 5


def of(*profits: int) -> Extremes:
    """As the database lists them."""
    return told_apart(sorted(profits, reverse=True)[:MOST], sorted(profits)[:MOST], len(profits))


@pytest.mark.parametrize(
    ("profits", "told"),
    [
        ((), Extremes(0, 0)),
        ((7,), Extremes(0, 0)),
        ((7, 9), Extremes(1, 1)),
        ((7, 8, 9), Extremes(1, 1)),
        (tuple(range(30)), Extremes(5, 5)),
        ((4, 4), Extremes(0, 0, 2, 4)),
        ((-4,) * 30, Extremes(0, 0, 30, -4)),
        ((0,) * 28 + (-9, 6), Extremes(1, 1, 28, 0)),
        ((0,) * 20 + (1, 2), Extremes(2, 0, 20, 0)),
        ((3,) * 5 + (1,) * 5, Extremes(5, 5)),
    ],
)
def test_what_is_alike_is_counted_and_is_in_neither_list(profits: tuple[int, ...], told: Extremes) -> None:
    assert of(*profits) == told


def test_nothing_is_told_twice_and_nothing_better_is_left_out() -> None:
    chance = Random(11)
    for _ in range(2_000):
        profits = sorted(chance.choices(range(-3, 4), k=chance.randrange(40)))
        told = of(*profits)
        assert told.best + told.worst + told.alike <= len(profits)
        if told.alike:
            between = profits[told.worst : len(profits) - told.best]
            assert between == [told.alike_msat] * told.alike
        else:
            assert told.best == told.worst == min(MOST, len(profits) // 2)
