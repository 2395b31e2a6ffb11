"""Our wallet's transactions, as the chain has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from lightning.errors import NotFound
from lightning.node import LndNode
from lightning.types import ChainTransaction, Outpoint

#: Reorganisations that we look behind, when reading the wallet's history.
LOOK_BACK_BLOCKS: Final = 6


def wallet_transaction(node: LndNode, txid: str) -> ChainTransaction | None:
    """The transaction as the node's wallet has it, its depth checked against the chain; None: not in the wallet."""
    try:
        return as_the_chain_has_it(node, node.transaction(txid))
    except NotFound:
        return None


def as_the_chain_has_it(node: LndNode, transaction: ChainTransaction) -> ChainTransaction:
    """The transaction, unmined where its block is not in the chain any more.

    LND's wallet takes back only the last block of a reorganisation: what was mined in an earlier one stays listed,
    ever deeper, even after a rival has confirmed.
    """
    return as_the_chain_has_them(node, [transaction])[0]


def as_the_chain_has_them(node: LndNode, transactions: Iterable[ChainTransaction]) -> list[ChainTransaction]:
    """As `as_the_chain_has_it`, of many: each block is asked for once."""
    hashes: dict[int, str] = {}

    def is_in_the_chain(transaction: ChainTransaction) -> bool:
        height = transaction.block_height
        if height not in hashes:
            hashes[height] = node.block_hash(height)
        return hashes[height] == transaction.block_hash

    return [
        transaction
        if not transaction.confirmations or is_in_the_chain(transaction)
        else replace(transaction, confirmations=0, block_height=0, block_hash="")
        for transaction in transactions
    ]


def conflicting_spend(
    node: LndNode, *, from_height: int, inputs: Iterable[Outpoint], ours: str
) -> ChainTransaction | None:
    """The deepest wallet transaction other than `ours` that spends one of these coins."""
    coins = set(inputs)
    spends = [
        transaction
        for transaction in node.transactions(from_height=max(0, from_height - LOOK_BACK_BLOCKS))
        if transaction.txid != ours and coins.intersection(transaction.inputs)
    ]
    checked = as_the_chain_has_them(node, spends)
    return max(checked, key=lambda transaction: transaction.confirmations, default=None)
