"""The price: whole satoshis, every part kept, never below the floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders import options
from orders.errors import ClientSideTooLarge, OutOfRange
from orders.options import MAX_MONEY_SAT, Limits, Wanted
from orders.pricing import CONFLICT_VBYTES, Quote, Tariff, chain_fee_sat, fee_budget_sat, quote, vbytes_paid_for

TARIFF = Tariff(base_fee_sat=1_000, rate_ppm_per_1008_blocks=500, minimum_fee_sat=2_000)
LIMITS = Limits(
    min_channel_sat=100_000,
    max_channel_sat=1_000_000,
    max_client_balance_sat=400_000,
    min_expiry_blocks=1_008,
    max_expiry_blocks=12_096,
)


def price_of(lsp: int, client: int, blocks: int, rate: int, tariff: Tariff = TARIFF) -> Quote:
    return quote(tariff, lsp_balance_sat=lsp, client_balance_sat=client, channel_expiry_blocks=blocks, sat_per_kw=rate)


def test_a_price_worked_out_by_hand() -> None:
    price = price_of(1_000_000, 50_000, 4_032, 2_500)
    assert price.lease_fee_sat == 2_000  # 1,000,000 × 500 ppm × 4
    assert price.open_fee_sat == 2_220  # 222 vbytes at 10 sat/vbyte
    assert price.close_fee_sat == 1_900
    assert price.floor_fee_sat == 0
    assert price.fee_total_sat == 7_120
    assert price.order_total_sat == 57_120


def test_what_is_missing_to_the_minimum_is_a_part_of_its_own() -> None:
    price = price_of(1, 0, 1_008, 1)
    assert price.fee_total_sat == 2_000
    assert price.floor_fee_sat == 2_000 - 1_000 - 1 - 1 - 1


def test_fees_are_rounded_up() -> None:
    assert chain_fee_sat(1, 1) == 1
    assert chain_fee_sat(250, 1_000) == 1_000


@given(st.integers(1, 10**5), st.integers(253, 10**6))
def test_a_chain_fee_and_its_rate_tell_the_size(vbytes: int, sat_per_kw: int) -> None:
    assert vbytes_paid_for(chain_fee_sat(vbytes, sat_per_kw), sat_per_kw) == vbytes


@given(
    st.integers(1, 10**11), st.integers(0, 10**11), st.integers(1, 524_160), st.integers(0, 10**7),
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6),
)  # fmt: skip
def test_the_parts_always_add_up_and_the_floor_holds(
    lsp: int, client: int, blocks: int, rate: int, base: int, ppm: int, floor: int
) -> None:
    price = price_of(lsp, client, blocks, rate, Tariff(base, ppm, floor))
    assert price.fee_total_sat >= floor
    assert price.order_total_sat - client == price.fee_total_sat
    parts = (price.base_fee_sat, price.lease_fee_sat, price.open_fee_sat, price.close_fee_sat, price.floor_fee_sat)
    assert sum(parts) == price.fee_total_sat and min(parts) >= 0
    asked = lsp * ppm * blocks
    assert 0 <= price.lease_fee_sat * 1_008 * 10**6 - asked < 1_008 * 10**6  # rounded up, by less than a satoshi


@given(st.integers(1, 10**11), st.integers(0, 10**6), st.integers(1, 520))
def test_a_whole_week_costs_to_the_satoshi_what_it_cost_when_weeks_were_sold(lsp: int, ppm: int, weeks: int) -> None:
    price = price_of(lsp, 0, weeks * 1_008, 1, Tariff(0, ppm, 1))
    assert price.lease_fee_sat == -(-lsp * ppm * weeks // 10**6)


def test_a_part_of_a_week_costs_its_part_and_is_rounded_up() -> None:
    assert price_of(1_000_000, 0, 504, 1).lease_fee_sat == 250
    assert price_of(1_000_000, 0, 505, 1).lease_fee_sat == 251


@pytest.mark.parametrize(
    ("wanted", "field", "limits"),
    [
        (Wanted(0, 0, 4_032), "lsp_balance_sat", (1, MAX_MONEY_SAT)),
        (Wanted(-1, 0, 4_032), "lsp_balance_sat", (1, MAX_MONEY_SAT)),
        (Wanted(500_000, -1, 4_032), "client_balance_sat", (0, 400_000)),
        (Wanted(500_000, 400_001, 4_032), "client_balance_sat", (0, 400_000)),
        (Wanted(99_999, 0, 4_032), "capacity_sat", (100_000, 1_000_000)),
        (Wanted(900_000, 100_001, 4_032), "capacity_sat", (100_000, 1_000_000)),
        (Wanted(500_000, 0, 0), "channel_expiry_blocks", (1_008, 12_096)),
        (Wanted(500_000, 0, 1_007), "channel_expiry_blocks", (1_008, 12_096)),
        (Wanted(500_000, 0, 12_097), "channel_expiry_blocks", (1_008, 12_096)),
    ],
)
def test_what_is_not_on_offer_is_refused_by_its_field_and_its_limits(
    wanted: Wanted, field: str, limits: tuple[int, int]
) -> None:
    with pytest.raises(OutOfRange) as refused:
        options.check(wanted, LIMITS)
    error = refused.value
    assert (error.field, (error.least, error.most)) == (field, limits)
    assert error.is_too_small is (getattr(wanted, field) < limits[0])


def test_the_client_has_less_than_we_have() -> None:
    with pytest.raises(ClientSideTooLarge):
        options.check(Wanted(200_000, 200_000, 4_032), LIMITS)


def test_the_limits_themselves_are_on_offer() -> None:
    options.check(Wanted(100_000, 0, 1_008), LIMITS)
    options.check(Wanted(600_001, 399_999, 12_096), LIMITS)


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


def budget(open_fee_sat: int, fee_total_sat: int) -> int:
    return fee_budget_sat(open_fee_sat=open_fee_sat, fee_total_sat=fee_total_sat, percent=400, floor_sat=5_000)


def test_a_budget_is_a_multiple_of_what_was_paid_for_the_opening() -> None:
    assert budget(2_220, 50_000) == 8_880


def test_a_budget_at_the_lowest_rates_has_a_floor() -> None:
    assert budget(222, 50_000) == 5_000


def test_no_budget_is_more_than_we_earn() -> None:
    assert budget(2_220, 7_120) == 7_120
    assert budget(222, 2_000) == 2_000


def test_the_quoted_opening_and_what_puts_it_out_are_within_every_budget() -> None:
    """Else an order would wait from the beginning, at the very rate that it has paid for."""
    cheap = Tariff(base_fee_sat=0, rate_ppm_per_1008_blocks=0, minimum_fee_sat=1)
    for vbytes in (222, 1_000, 10_000):
        for rate in (253, 2_500, 250_000):
            price = quote(
                cheap, lsp_balance_sat=100_000, client_balance_sat=0, channel_expiry_blocks=1008, sat_per_kw=rate,
                open_vbytes=vbytes,
            )  # fmt: skip
            allowed = fee_budget_sat(
                open_fee_sat=price.open_fee_sat, fee_total_sat=price.fee_total_sat, percent=200, floor_sat=0
            )
            assert price.open_fee_sat + chain_fee_sat(CONFLICT_VBYTES, rate) <= allowed
