"""The books of rows that factories made, as if each had been posted when it came to be; and a node with a wallet."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.db import connection

from lightning import types
from lightning.types import ChainTransaction, Outpoint, TxOutput
from orders.models import ChannelOrder, Leg
from tests.scripted import ScriptedNode, mined

#: What factories sell: a million, and 50,000 sat on the buyer's side, for 8,120 sat.
FEE, CLIENT, LSP = 8_120, 50_000, 1_000_000
TOTAL = FEE + CLIENT


def carry(at: str = "now()") -> None:
    """Every row of today has its entry, as an upgrade makes it. Once in a test: there are no entries yet.

    `at`: when, of each of `legs`, in SQL.
    """
    migration: Any = import_module("orders.migrations.0021_the_books")
    with connection.cursor() as cursor:
        cursor.execute(migration.CARRIED.replace("now()", at))


def balances(order: ChannelOrder) -> dict[str, int]:
    """What the order has in each account, in satoshis; a debit is positive."""
    found: dict[str, int] = {}
    for leg in Leg.objects.filter(entry__order=order):
        found[leg.account] = found.get(leg.account, 0) + leg.amount_msat // 1000
    return {account: sat for account, sat in found.items() if sat}


class WalletNode(ScriptedNode):
    """A node with a wallet, whose coins are what its transactions have left."""

    def __init__(self, *transactions: ChainTransaction) -> None:
        super().__init__()
        self.wallet = {each.txid: each for each in transactions}
        self.besides_sat = 0

    def coins(self, *, min_confirmations: int) -> Any:
        spent = {outpoint for tx in self.wallet.values() for outpoint in tx.inputs}
        own = [(Outpoint(tx.txid, o.index), o) for tx in self.wallet.values() for o in tx.outputs if o.ours]
        left = [(outpoint, o.amount_sat) for outpoint, o in own if outpoint not in spent]
        besides = [(Outpoint("ee" * 32, 0), self.besides_sat)] if self.besides_sat else []
        return tuple(types.Utxo(outpoint, "bcrt1q", sat, 9) for outpoint, sat in left + besides)

    def foreign_coins(self, coins: Any) -> Any:
        return ()


def ours(index: int, sat: int, address: str = "bcrt1qours") -> TxOutput:
    return TxOutput(index, address, sat, True)


def theirs(index: int, sat: int) -> TxOutput:
    return TxOutput(index, "bcrt1qtheirs", sat, False)


COINS: Final = mined("c0" * 32, confirmations=99, height=700, outputs=[ours(0, 3_000_000)])
