"""Our own choice of coins: enough, few, and never a nested one."""

from __future__ import annotations

import pytest

from lightning.errors import InsufficientFunds
from lightning.types import Outpoint, Utxo
from orders.wallet import choosing

RATE = 1000


def coins(*amounts_sat: int, nested: bool = False) -> list[Utxo]:
    return [
        Utxo(Outpoint("ab" * 32, number), "bcrt1q", amount_sat, 6, is_nested=nested)
        for number, amount_sat in enumerate(amounts_sat)
    ]


def chosen(wanted_sat: int, *amounts_sat: int, rate: int = RATE) -> list[int]:
    return [coin.amount_sat for coin in choosing.enough(coins(*amounts_sat), wanted_sat=wanted_sat, sat_per_kw=rate)]


def test_one_big_coin_is_taken_before_many_small_ones() -> None:
    assert chosen(50_000, 20_000, 90_000, 60_000) == [90_000]
    assert chosen(120_000, 20_000, 90_000, 60_000) == [90_000, 60_000]


def test_the_fee_is_paid_too() -> None:
    """663 weight units at 1 sat each: a frame of 390 and an input of 273."""
    assert chosen(100_000, 100_663, 10_000) == [100_663]
    assert chosen(100_000, 100_662, 10_000) == [100_662, 10_000]


def test_coins_that_do_not_suffice_are_said_to_be_short() -> None:
    with pytest.raises(InsufficientFunds, match="^30000 sat"):
        chosen(30_000, 20_000, 10_000)
    with pytest.raises(InsufficientFunds):
        chosen(1)


def test_a_coin_that_costs_more_than_it_is_worth_helps_nobody() -> None:
    with pytest.raises(InsufficientFunds):
        chosen(95_000, 100_000, *[500] * 20, rate=8000)


def test_nested_coins_are_left_out() -> None:
    own = coins(1_000)
    assert choosing.native([*own, *coins(5_000, nested=True)]) == own
    assert choosing.total_sat(coins(1, 2, 3)) == 6
