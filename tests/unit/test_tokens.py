"""What a buyer shows with a purchase: a coupon, a name that we know, or nothing that we take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.errors import TokenNotTaken
from orders.options import Limits
from orders.pricing import Quote, Tariff, quote
from orders.tokens import Coupon, Identification, accept

NOW = datetime(2026, 11, 29, tzinfo=UTC)
PATTERNS = ["AlbyHub/*", "btcpay-lsp-plugin"]
PARTNER = Coupon("PARTNER-2026", discount_percent=20)
LIMITS = Limits(100_000, 16_000_000, 8_000_000, 1_008, 12_096)
TARIFF = Tariff(base_fee_sat=1_000, rate_ppm_per_1008_blocks=500, minimum_fee_sat=2_000)


@pytest.mark.parametrize("name", ["AlbyHub/1.18.2", "AlbyHub/", "btcpay-lsp-plugin"])
def test_a_wallet_that_says_who_it_is_is_known(name: str) -> None:
    assert accept(name, [PARTNER], PATTERNS, NOW) == Identification(name)


def test_a_coupon_is_found_by_its_code_alone() -> None:
    assert accept("PARTNER-2026", [PARTNER], PATTERNS, NOW) is PARTNER


@pytest.mark.parametrize(
    "token", ["partner-2026", "PARTNER-2026 ", "PARTNER", "albyhub/1", "btcpay-lsp-plugin2", "*", "", "[a-z]*", "\x00"]
)
def test_whatever_else_is_refused_and_never_passed_over(token: str) -> None:
    with pytest.raises(TokenNotTaken):
        accept(token, [PARTNER], PATTERNS, NOW)


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\r", "\n", "\u202e", "\x9b31m"])
def test_a_wallets_name_has_nothing_that_a_terminal_would_obey(hidden: str) -> None:
    with pytest.raises(TokenNotTaken):
        accept(f"AlbyHub/1.18{hidden}", [PARTNER], PATTERNS, NOW)


@pytest.mark.parametrize(("changes", "is_valid"), [
    ({"starts_at": NOW}, True), ({"starts_at": NOW + timedelta(seconds=1)}, False),
    ({"ends_at": NOW + timedelta(seconds=1)}, True), ({"ends_at": NOW}, False), ({"is_active": False}, False),
])  # fmt: skip
def test_a_coupon_has_its_term(changes: dict[str, Any], is_valid: bool) -> None:
    coupon = Coupon("PARTNER-2026", **changes)
    if is_valid:
        assert accept("PARTNER-2026", [coupon], [], NOW) is coupon
    else:
        with pytest.raises(TokenNotTaken):
            accept("PARTNER-2026", [coupon], [], NOW)


def test_one_that_was_taken_back_is_told_apart_from_none_by_nobody() -> None:
    said = []
    for coupons in ([Coupon("PARTNER-2026", is_active=False)], []):
        with pytest.raises(TokenNotTaken) as error:
            accept("PARTNER-2026", coupons, [], NOW)
        said.append(error.value.message)
    assert said[0] == said[1]


@given(st.text(max_size=300))
def test_nothing_that_is_sent_breaks_the_rule(token: str) -> None:
    try:
        accept(token, [PARTNER], PATTERNS, NOW)
    except TokenNotTaken as error:
        assert error.field == "token"


def test_what_a_coupon_does_not_say_is_the_services() -> None:
    own = Coupon("x" * 8, max_channel_sat=50_000_000, base_fee_sat=0)
    assert own.limits(LIMITS) == Limits(100_000, 50_000_000, 8_000_000, 1_008, 12_096)
    assert own.tariff(TARIFF) == Tariff(0, 500, 2_000)
    assert PARTNER.limits(LIMITS) == LIMITS and PARTNER.tariff(TARIFF) == TARIFF


def priced(percent: int, *, sat_per_kw: int = 2_500, minimum: int = 2_000, lsp: int = 1_000_000) -> Quote:
    tariff = Tariff(base_fee_sat=1_000, rate_ppm_per_1008_blocks=500, minimum_fee_sat=minimum)
    return quote(
        tariff,
        lsp_balance_sat=lsp,
        client_balance_sat=7,
        channel_expiry_blocks=4 * 1_008,
        sat_per_kw=sat_per_kw,
        discount_percent=percent,
    )


def test_a_discount_is_of_what_we_earn_and_never_of_what_the_chain_costs() -> None:
    full, half, free = priced(0), priced(50), priced(100)
    earned = full.base_fee_sat + full.lease_fee_sat + full.floor_fee_sat
    assert half.discount_sat == earned // 2 and full.discount_sat == 0
    assert free.fee_total_sat == full.open_fee_sat + full.close_fee_sat


@given(
    percent=st.integers(0, 100),
    sat_per_kw=st.integers(0, 100_000),
    minimum=st.integers(1, 10**6),
    lsp=st.integers(1, 10**9),
)
def test_the_parts_add_up_and_nothing_is_for_nothing(percent: int, sat_per_kw: int, minimum: int, lsp: int) -> None:
    price = priced(percent, sat_per_kw=sat_per_kw, minimum=minimum, lsp=lsp)
    parts = (price.base_fee_sat, price.lease_fee_sat, price.open_fee_sat, price.close_fee_sat, price.floor_fee_sat)
    assert price.fee_total_sat == sum(parts) - price.discount_sat >= 1
    assert price.order_total_sat == price.fee_total_sat + 7
    assert 0 <= price.discount_sat <= price.base_fee_sat + price.lease_fee_sat + price.floor_fee_sat
