"""What the operator does with the node's own tools, past the server."""

from __future__ import annotations

from typing import Any

from lightning import transactions
from tests.fakes import regtest_address

#: Nobody of ours has its key.
ELSEWHERE = regtest_address(77)
LOCK = b"\x4c" * 32


def send_away(node: Any, quote: dict[str, Any]) -> None:
    """All that the order was paid with goes back by hand, with the label that the operator's page tells."""
    amount_sat = quote["total_amount"]
    coins = [coin for coin in node.coins(min_confirmations=1) if coin.amount_sat >= amount_sat]
    coin = min(coins, key=lambda coin: coin.amount_sat)
    # One output is all that this makes: of the smallest coin that covers it, the rest is the fee.
    psbt = transactions.conflict_psbt(
        coin.outpoint,
        pk_script=bytes.fromhex(transactions.address_script(coin.address)),
        amount_sat=coin.amount_sat,
        to_address=ELSEWHERE,
        fee_sat=max(coin.amount_sat - amount_sat, 500),
    )
    node.publish(node.finalize_psbt(psbt).raw, label=f"refund of {quote['order_id']}")


def lease_all(node: Any) -> None:
    """No coin can be spent, until `free_all`."""
    for coin in node.coins(min_confirmations=0):
        node.lease(coin.outpoint, lock_id=LOCK, seconds=3600)


def free_all(node: Any) -> None:
    for lease in node.leases():
        if lease.lock_id == LOCK:
            node.release(lease.outpoint, lock_id=LOCK)
