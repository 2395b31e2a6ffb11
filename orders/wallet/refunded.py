"""Money that staff have sent back by hand, as the wallet's labels say."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from lightning.types import ChainTransaction
from orders import marks


def sent_back_sat(order_id: UUID, transactions: Iterable[ChainTransaction]) -> int:
    """What of this order's money went back in these transactions; of one that names several, all of it.

    Nobody says which output is whose: rather one order too many waits for a person than one is paid out twice.
    """
    return sum(
        output.amount_sat
        for transaction in transactions
        if order_id in marks.orders_of_refund(transaction.label)
        for output in transaction.outputs
        if not output.ours
    )
