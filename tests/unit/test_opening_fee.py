"""The arithmetic of a channel that opens just in time: fee, size, and which part of the payment bears what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.opening_fee import COMMITMENT_SAT, LEAST_PART_MSAT, UINT64, Fee, Overflow, Size, passes_sat, shares

SIZE = Size(percent=200, cushion_sat=20_000, least_sat=100_000, most_sat=16_000_000)


@pytest.mark.parametrize(
    ("payment_msat", "min_fee_msat", "ppm", "fee_msat"),
    [
        (200_000_000, 1_000_000, 4_000, 1_000_000),  # the floor
        (500_000_000, 1_000_000, 4_000, 2_000_000),  # a share
        (1, 0, 1, 1),  # rounded up
        (1_000_000, 0, 1, 1),
        (1_000_001, 0, 1, 2),
        (0, 7, 4_000, 7),
    ],
)
def test_l2_07_the_fee_is_a_share_rounded_up_and_never_below_its_floor(
    payment_msat: int, min_fee_msat: int, ppm: int, fee_msat: int
) -> None:
    assert Fee(min_fee_msat, ppm).of(payment_msat) == fee_msat


def test_l2_07_each_step_of_it_fits_into_64_bits_or_the_payment_is_too_large() -> None:
    assert Fee(0, 1).of(UINT64 - 999_999) == UINT64 // 1_000_000
    with pytest.raises(Overflow):
        Fee(0, 1).of(UINT64 - 999_998)  # the sum that rounds it up
    with pytest.raises(Overflow):
        Fee(0, 4_000).of(UINT64 // 3_999)  # the product


def test_l2_20_the_channel_holds_what_goes_on_and_what_the_wallet_demands_of_us() -> None:
    assert SIZE.channel_sat(200_000_000, 2_500_000) == 420_000
    assert SIZE.channel_sat(10_000_000, 2_500_000) == 100_000  # the least that is sold
    tight = Size(percent=100, cushion_sat=0, least_sat=20_000, most_sat=16_000_000)
    assert tight.channel_sat(50_000_001, 1_000) == 50_000 + COMMITMENT_SAT + 1_000  # bLIP-52 asks for 1,270 at least
    assert tight.channel_sat(1_000_000_001, 1_000) == -(-(1_000_000 + COMMITMENT_SAT) * 100 // 99)  # a hundredth


@given(
    payment_msat=st.integers(1, 2**50),
    fee_msat=st.integers(0, 2**40),
    percent=st.integers(100, 1_000),
    cushion_sat=st.integers(0, 10**6),
    most_sat=st.integers(100_000, 10**9),
)
def test_a_payment_up_to_the_largest_has_a_channel_within_the_service_and_one_beyond_it_may_not(
    payment_msat: int, fee_msat: int, percent: int, cushion_sat: int, most_sat: int
) -> None:
    size = Size(percent, cushion_sat, 100_000, most_sat)
    most_msat = size.most_payment_msat()
    if payment_msat <= most_msat:
        assert size.channel_sat(payment_msat, fee_msat) <= most_sat
    assert passes_sat(size.channel_sat(payment_msat, 0)) * 1000 >= payment_msat
    assert most_msat < 0 or size.channel_sat(most_msat + 1_000_000, 0) > most_sat - 1


@pytest.mark.parametrize(
    ("parts_msat", "fee_msat", "taken_msat"),
    [
        ([100_000], 40_000, [40_000]),
        ([100_000, 100_000], 40_000, [40_000, 0]),
        ([10_000, 100_000, 100_000], 40_000, [0, 40_000, 0]),
        ([20_000, 30_000, 20_000], 40_000, [11_000, 29_000, 0]),
        ([500, 100_000], 40_000, [0, 40_000]),
        ([100_000], 0, [0]),
        ([41_000], 40_000, [40_000]),
        ([40_999], 40_000, None),
        ([20_000, 20_000], 38_001, None),
    ],
)
def test_l2_25_the_largest_parts_bear_the_fee_and_each_that_goes_on_is_large_enough(
    parts_msat: list[int], fee_msat: int, taken_msat: list[int] | None
) -> None:
    assert shares(parts_msat, fee_msat) == taken_msat


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(0, 10**10))
def test_l2_25_what_goes_on_is_all_but_the_fee_to_the_millisatoshi(parts_msat: list[int], fee_msat: int) -> None:
    taken = shares(parts_msat, fee_msat)
    if taken is None:
        assert sum(max(0, part - LEAST_PART_MSAT) for part in parts_msat) < fee_msat
    else:
        assert sum(taken) == fee_msat
        assert all(not cut or part - cut >= LEAST_PART_MSAT for part, cut in zip(parts_msat, taken, strict=True))
