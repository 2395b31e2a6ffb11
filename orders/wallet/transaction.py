"""A transaction's own small machine: drafted, signed, published, deep; or excluded for ever.

Whoever needs a transaction (an opening, one day a refund) follows it here. Each of these is called by who holds the row
of an order that the transaction is for.
"""

from __future__ import annotations

from django.utils import timezone

from orders.models import WalletTransaction
from orders.states import TransactionState
from orders.transitions import move_transaction


def signed(transaction: WalletTransaction, raw: bytes) -> None:
    """It can be published from now on."""
    move_transaction(transaction.pk, TransactionState.SIGNED, raw=raw)


def published(transaction: WalletTransaction, raw: bytes) -> None:
    """The network has had it; `raw` is what the wallet has, where our records had lost it."""
    if transaction.state == TransactionState.DRAFTED:
        signed(transaction, raw)
    at = transaction.published_at or timezone.now()
    move_transaction(transaction.pk, TransactionState.PUBLISHED, published_at=at)


def deep(transaction: WalletTransaction) -> None:
    """It is in the chain for good."""
    move_transaction(transaction.pk, TransactionState.DEEP)


def excluded(transaction: WalletTransaction) -> None:
    """It will never be in the chain: nobody has signed it, nobody but us has had it, or a rival is deep."""
    move_transaction(transaction.pk, TransactionState.EXCLUDED)


def decided(conflict: WalletTransaction, winner_txid: str) -> None:
    """A spend of the coin that all versions of this conflict spend is deep: that one won, the others never will."""
    for version in WalletTransaction.objects.filter(kind=conflict.kind, label=conflict.label):
        if version.state not in {TransactionState.DEEP, TransactionState.EXCLUDED}:
            (deep if version.txid == winner_txid else excluded)(version)
