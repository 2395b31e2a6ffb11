"""Which coins become which others: never those that open orders need, never dearer than is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from lightning.types import Outpoint, Utxo
from orders.models import TransactionKind
from orders.wallet import reshaping
from orders.wallet.reshaping import Means, NoPlan, Plan

RATE = 250  # 1 sat/vbyte


def means(*amounts_sat: int, promised_sat: int = 0, rate: int = RATE, most_fee_sat: int = 100_000) -> Means:
    coins = [Utxo(Outpoint(f"{n:064x}", 0), "bcrt1q", amount_sat, 6) for n, amount_sat in enumerate(amounts_sat)]
    return Means(coins, promised_sat, rate, most_fee_sat)


def split(means: Means, count: int, each_sat: int | None = None, at_most_sat: int = 10**9) -> Plan:
    return reshaping.split(means, count=count, each_sat=each_sat, at_most_sat=at_most_sat)


def taken(plan: Plan) -> list[int]:
    return sorted(coin.amount_sat for coin in plan.inputs)


def assert_whole(plan: Plan) -> None:
    assert sum(taken(plan)) == sum(plan.outputs_sat) + plan.fee_sat and plan.fee_sat > 0


def test_a_big_coin_becomes_many_and_the_rest_is_change() -> None:
    plan = split(means(10_000_000, 500), 4, 1_000_000)
    assert (plan.kind, taken(plan)) == (TransactionKind.SPLIT, [10_000_000])
    assert plan.outputs_sat[:4] == (1_000_000,) * 4 and len(plan.outputs_sat) == 5
    assert_whole(plan)


def test_change_that_is_hardly_worth_spending_is_left_to_the_fee() -> None:
    plan = split(means(2_000_900), 2, 1_000_000)
    assert plan.outputs_sat == (1_000_000, 1_000_000) and plan.fee_sat == 900


def test_without_a_size_the_coins_are_as_large_as_they_can_be_and_no_larger_than_what_is_sold() -> None:
    plan = split(means(10_000_000, 2_000_000), 3)
    assert 3_990_000 < plan.outputs_sat[0] < 4_000_000
    assert split(means(10_000_000), 3, at_most_sat=1_000_000).outputs_sat[:3] == (1_000_000,) * 3


def test_what_open_orders_need_is_not_taken() -> None:
    """The node takes the biggest first for them: those stay."""
    assert taken(split(means(9_000_000, 8_000_000, promised_sat=5_000_000), 2, 1_000_000)) == [8_000_000]
    with pytest.raises(NoPlan, match="0 sat are spare in deep coins; open orders need 5,000,000 sat"):
        split(means(9_000_000, promised_sat=5_000_000), 2, 1_000_000)
    with pytest.raises(NoPlan):
        split(means(9_000_000, promised_sat=90_000_000), 2, 1_000_000)


@pytest.mark.parametrize("count", [0, 1, 251])
def test_one_coin_is_no_split_and_too_many_are_none(count: int) -> None:
    with pytest.raises(NoPlan, match="From 2 to 250"):
        split(means(10**9), count, 10_000)


def test_a_split_above_the_ceiling_is_not_made() -> None:
    with pytest.raises(NoPlan, match="MAX_FUNDING_FEE_SAT is 100,000"):
        split(means(10**8, rate=250_000), 4, 1_000_000)


def consolidation(means: Means, smaller_than_sat: int = 100_000) -> Plan:
    return reshaping.consolidation(means, smaller_than_sat=smaller_than_sat)


def test_small_coins_become_one_and_the_others_stay() -> None:
    plan = consolidation(means(10_000, 20_000, 30_000, 5_000_000))
    assert (plan.kind, taken(plan), len(plan.outputs_sat)) == (
        TransactionKind.CONSOLIDATION, [10_000, 20_000, 30_000], 1,
    )  # fmt: skip
    assert_whole(plan)


def test_a_coin_that_costs_more_than_it_is_worth_is_left_alone() -> None:
    assert taken(consolidation(means(60, 10_000, 20_000))) == [10_000, 20_000]


def test_as_many_are_taken_as_the_ceiling_allows_the_smallest_first() -> None:
    plan = consolidation(means(*range(10_000, 10_200), most_fee_sat=7_000))
    assert taken(plan) == list(range(10_000, 10_000 + len(plan.inputs)))
    assert 90 < len(plan.inputs) < 105 and plan.fee_sat <= 7_000


@pytest.mark.parametrize("amounts", [(), (10_000,), (10_000, 200_000), (60, 61)])
def test_where_there_are_no_two_small_coins_nothing_is_made(amounts: Any) -> None:
    with pytest.raises(NoPlan, match="no two spare coins"):
        consolidation(means(*amounts))


def test_small_coins_that_open_orders_need_are_not_taken() -> None:
    with pytest.raises(NoPlan):
        consolidation(means(*[50_000] * 10, promised_sat=400_000))
