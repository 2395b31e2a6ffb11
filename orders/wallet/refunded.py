"""Money that staff have sent back by hand, as the wallet's labels say."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from lightning.types import ChainTransaction
from orders import marks


def sent_back_sat(order_id: UUID, transactions: Iterable[ChainTransaction]) -> int:
    """What of this order's money went back in these transactions."""
    return sum(
        output.amount_sat
        for transaction in transactions
        if marks.order_of_refund(transaction.label) == order_id
        for output in transaction.outputs
        if not output.ours
    )
