"""What can be paid with coins of which sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.wallet import shape

RATE = 2_500  # 10 sat/vbyte
amounts = st.lists(st.integers(1, 10**8), max_size=60)


def drafted(coins: list[int], wanted_sat: int, rate: int = RATE) -> shape.Draft:
    made = shape.draft(coins, wanted_sat=wanted_sat, sat_per_kw=rate)
    assert made is not None
    return made


def test_a_channel_of_one_coin_is_small_and_of_many_coins_is_dear() -> None:
    assert drafted([5_000_000], 1_000_000) == shape.Draft(1_000_000, 1, 166, 1_658)
    many = drafted([10_000] * 200, 1_000_000)
    assert (many.inputs, many.vbytes) == (108, 7_469)
    assert many.fee_sat == pytest.approx(74_685, abs=5)


def test_coins_that_cost_what_they_bring_pay_nothing() -> None:
    assert shape.draft([600] * 10_000, wanted_sat=50_000, sat_per_kw=RATE) is None
    assert shape.draft([], wanted_sat=1, sat_per_kw=RATE) is None


def test_what_is_promised_takes_the_biggest_and_leaves_its_change() -> None:
    assert shape.without([100, 500, 300], 0) == [500, 300, 100]
    assert shape.without([100, 500, 300], 600) == [200, 100]
    assert shape.without([100, 500, 300], 800) == [100]
    assert shape.without([100, 500, 300], 1_000) == []


@given(amounts, st.integers(0, 10**9))
def test_what_is_left_is_what_was_not_taken(coins: list[int], taken_sat: int) -> None:
    assert sum(shape.without(coins, taken_sat)) == max(0, sum(coins) - taken_sat)


@given(amounts, st.integers(1, 10**8), st.integers(253, 100_000))
def test_a_draft_is_paid_for_by_its_coins_and_one_coin_fewer_would_not_do(
    coins: list[int], wanted_sat: int, rate: int
) -> None:
    made = shape.draft(coins, wanted_sat=wanted_sat, sat_per_kw=rate)
    if made is None:
        return
    biggest = sorted(coins, reverse=True)
    assert sum(biggest[: made.inputs]) + made.inputs >= wanted_sat + made.fee_sat  # each input's fee is rounded up
    assert shape.draft(biggest[: made.inputs - 1], wanted_sat=wanted_sat, sat_per_kw=rate) is None


@given(amounts, st.integers(253, 100_000), st.integers(0, 10**9))
def test_the_largest_channel_can_be_paid_for_and_one_satoshi_more_cannot(
    coins: list[int], rate: int, up_to_sat: int
) -> None:
    def few(made: shape.Draft) -> bool:
        return made.inputs <= 20

    most_sat = shape.most_sat(coins, sat_per_kw=rate, allows=few, up_to_sat=up_to_sat)
    assert 0 <= most_sat <= up_to_sat
    if most_sat:
        assert few(drafted(coins, most_sat, rate))
    if most_sat < up_to_sat:
        made = shape.draft(coins, wanted_sat=most_sat + 1, sat_per_kw=rate)
        assert made is None or not few(made)
