"""The price: whole satoshis, every part kept, never below the floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import options
from orders.errors import InvalidField
from orders.options import Limits, Wanted
from orders.pricing import Tariff, chain_fee_sat, quote

TARIFF = Tariff(base_fee_sat=1_000, rate_ppm_per_week=500, minimum_fee_sat=2_000)
LIMITS = Limits(
    min_channel_sat=100_000, max_channel_sat=1_000_000, max_client_balance_sat=400_000, min_weeks=1, max_weeks=12
)


def test_a_price_worked_out_by_hand() -> None:
    price = quote(TARIFF, lsp_balance_sat=1_000_000, client_balance_sat=50_000, weeks=4, sat_per_kw=2_500)
    assert price.lease_fee_sat == 2_000  # 1,000,000 × 500 ppm × 4
    assert price.open_fee_sat == 2_220  # 222 vbytes at 10 sat/vbyte
    assert price.close_fee_sat == 1_900
    assert price.floor_fee_sat == 0
    assert price.fee_total_sat == 7_120
    assert price.order_total_sat == 57_120


def test_what_is_missing_to_the_minimum_is_a_part_of_its_own() -> None:
    price = quote(TARIFF, lsp_balance_sat=1, client_balance_sat=0, weeks=1, sat_per_kw=1)
    assert price.fee_total_sat == 2_000
    assert price.floor_fee_sat == 2_000 - 1_000 - 1 - 1 - 1


def test_fees_are_rounded_up() -> None:
    assert chain_fee_sat(1, 1) == 1
    assert chain_fee_sat(250, 1_000) == 1_000


@given(
    st.integers(1, 10**11), st.integers(0, 10**11), st.integers(1, 520), st.integers(0, 10**7),
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6),
)  # fmt: skip
def test_the_parts_always_add_up_and_the_floor_holds(
    lsp: int, client: int, weeks: int, rate: int, base: int, ppm: int, floor: int
) -> None:
    price = quote(
        Tariff(base, ppm, floor), lsp_balance_sat=lsp, client_balance_sat=client, weeks=weeks, sat_per_kw=rate
    )
    assert price.fee_total_sat >= floor
    assert price.order_total_sat - client == price.fee_total_sat
    parts = (price.base_fee_sat, price.lease_fee_sat, price.open_fee_sat, price.close_fee_sat, price.floor_fee_sat)
    assert sum(parts) == price.fee_total_sat and min(parts) >= 0
    assert price.lease_fee_sat * 10**6 >= lsp * ppm * weeks  # never rounded in the buyer's favour


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Wanted(0, 0, 4), "local_balance"),
        (Wanted(-1, 0, 4), "local_balance"),
        (Wanted(500_000, -1, 4), "remote_balance"),
        (Wanted(500_000, 400_001, 4), "remote_balance"),
        (Wanted(200_000, 200_000, 4), "remote_balance"),
        (Wanted(99_999, 0, 4), "local_balance"),
        (Wanted(900_000, 100_001, 4), "local_balance"),
        (Wanted(500_000, 0, 0), "channel_expiry"),
        (Wanted(500_000, 0, 13), "channel_expiry"),
    ],
)
def test_what_is_not_on_offer_is_refused_by_its_field(wanted: Wanted, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        options.check(wanted, LIMITS)
    assert refused.value.field == field


def test_the_limits_themselves_are_on_offer() -> None:
    options.check(Wanted(100_000, 0, 1), LIMITS)
    options.check(Wanted(600_001, 399_999, 12), LIMITS)


@pytest.mark.parametrize(
    ("claim", "purchase", "service", "announced"),
    [
        (None, None, True, True),
        (None, False, True, False),
        (True, False, False, True),
        (False, True, True, False),
    ],
)
def test_the_claim_overrides_the_purchase_which_overrides_the_service(
    claim: bool | None, purchase: bool | None, service: bool, announced: bool
) -> None:
    assert options.announced(by_claim=claim, by_purchase=purchase, by_service=service) is announced
