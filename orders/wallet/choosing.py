"""Which of our coins a transaction spends, where the node's own choice would do no good. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lightning.errors import InsufficientFunds
from lightning.types import Utxo

#: Weight units: a transaction that pays a channel and has change, each as heavy as they get; an input of a native coin
#: with its signature.
_FRAME_WEIGHT: Final = 4 * (11 + 43 + 43) + 2
_INPUT_WEIGHT: Final = 4 * 41 + 109


def native(coins: Iterable[Utxo]) -> list[Utxo]:
    """Those that can fund a channel: what spends a nested coin has no final txid before it is signed."""
    return [coin for coin in coins if not coin.is_nested]


def total_sat(coins: Iterable[Utxo]) -> int:
    """What they are worth."""
    return sum(coin.amount_sat for coin in coins)


def enough(coins: Sequence[Utxo], *, wanted_sat: int, sat_per_kw: int) -> list[Utxo]:
    """As few of them as pay what is wanted and the fee: the biggest first, as the node chooses too.

    Raises: InsufficientFunds where all of them do not.
    """
    left_sat = -wanted_sat - _fee_sat(_FRAME_WEIGHT, sat_per_kw)
    chosen: list[Utxo] = []
    for coin in sorted(coins, key=lambda each: (-each.amount_sat, each.outpoint)):
        chosen.append(coin)
        left_sat += coin.amount_sat - _fee_sat(_INPUT_WEIGHT, sat_per_kw)
        if left_sat >= 0:
            return chosen
    raise InsufficientFunds(f"{total_sat(coins)} sat in native coins do not pay {wanted_sat} sat and the fee.")


def _fee_sat(weight: int, sat_per_kw: int) -> int:
    return -(-weight * sat_per_kw // 1000)
