"""Which of our coins a transaction spends, where the node's own choice would do no good. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightning.errors import InsufficientFunds
from lightning.types import Utxo
from orders.wallet import shape


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
    made = shape.draft((coin.amount_sat for coin in coins), wanted_sat=wanted_sat, sat_per_kw=sat_per_kw)
    if made is None:
        raise InsufficientFunds(f"{total_sat(coins)} sat in native coins do not pay {wanted_sat} sat and the fee.")
    return sorted(coins, key=lambda each: (-each.amount_sat, each.outpoint))[: made.inputs]
