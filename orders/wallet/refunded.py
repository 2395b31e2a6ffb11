"""Money that was sent back and that our records do not know, as the wallet's labels say."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from lightning.types import ChainTransaction
from orders import marks
from orders.models import TransactionKind, WalletTransaction


def sent_back_sat(order_id: UUID, transactions: Iterable[ChainTransaction]) -> int:
    """What of this order's money went back in these transactions, but for refunds of ours; of one that names several
    orders, all of it.

    Nobody says which output is whose: rather one order too many waits for a person than one is paid out twice.
    """
    ours = WalletTransaction.objects.filter(kind=TransactionKind.REFUND, label__startswith=f"refund:{order_id}:")
    labelled = [each for each in transactions if order_id in marks.orders_of_refund(each.label)]
    known = set(ours.values_list("txid", flat=True)) if labelled else set()
    return sum(
        output.amount_sat
        for transaction in labelled
        if transaction.txid not in known
        for output in transaction.outputs
        if not output.ours
    )
