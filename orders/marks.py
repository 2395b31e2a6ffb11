"""What our orders leave at the node: every memo, label and lock id, written and read here alone.

They are how an order is found again without our database; another program's things at the same node carry none. What
only our node keeps has the order's id; an invoice's memo is read by whoever sees the invoice, and has its reference.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final
from uuid import UUID

from orders import keys
from orders.models import TransactionKind

#: How the memo of our invoices begins.
_INVOICE: Final = "Lightning channel, order "
_ORDER_ID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
#: An order's id and its reference, as a person may have written them, in small letters.
_BY_HAND: Final = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}\b")
_WORD: Final = re.compile(r"[a-z0-9]+")
#: How the label begins that staff give to what they send back by hand.
_REFUND: Final = "refund"


def invoice_memo(order_id: UUID) -> str:
    """What the payer of the order's invoice reads, and everybody who is shown it: it must not be the right to claim."""
    return f"{_INVOICE}{keys.reference(order_id)}"


def order_of_invoice(memo: str) -> UUID | None:
    """The order whose invoice has this memo; None: no invoice of ours. Older invoices have the id itself."""
    named = memo.removeprefix(_INVOICE)
    if named == memo:
        return None
    return keys.order_of_reference(named) or _order_id_in(named)


def channel_memo(order_id: UUID) -> str:
    """What our node alone keeps with the order's channel."""
    return str(order_id)


def order_of_channel(memo: str) -> UUID | None:
    """The order whose channel has this memo."""
    return _order_id_in(memo)


def label(kind: TransactionKind, order_id: UUID) -> str:
    """The wallet's label of a transaction that is made for the order."""
    return f"{kind}:{order_id}"


def order_of_label(text: str, kind: TransactionKind) -> UUID | None:
    """The order that a transaction of this kind was made for."""
    return _order_id_in(text) if text.startswith(f"{kind}:") else None


def orders_of_refund(text: str) -> set[UUID]:
    """The orders whose money a transaction sent back, as staff have labelled it by hand, by id or by reference."""
    text = text.strip().lower()
    if not text.startswith(_REFUND):
        return set()
    referred = {keys.order_of_reference(word) for word in _WORD.findall(text)} - {None}
    return {*map(UUID, _BY_HAND.findall(text)), *(order_id for order_id in referred if order_id)}


def shaping_label(kind: TransactionKind, number: UUID) -> str:
    """The wallet's label of a transaction that is made for no order, but to have coins of other sizes."""
    return f"{kind}:{number}"


def refund_label(order_id: UUID, number: int) -> str:
    """The wallet's label of a transaction that sends money of the order back; all its versions have it."""
    return f"{TransactionKind.REFUND}:{order_id}:{number}"


def refund_lock_id(order_id: UUID) -> bytes:
    """The id of the leases of what such a transaction spends: an order has one refund at a time.

    Of the order alone: numbers are given anew where our records were put back, and the leases are still there.
    """
    return hashlib.sha256(f"refund:{order_id}".encode()).digest()


def shaping_lock_id() -> bytes:
    """The id of the leases of what such a transaction spends: there is one at a time."""
    return hashlib.sha256(b"coins").digest()


def lock_id(order_id: UUID) -> bytes:
    """The id of the leases of the order's coins."""
    return hashlib.sha256(str(order_id).encode()).digest()


def _order_id_in(text: str) -> UUID | None:
    found = _ORDER_ID.search(text)
    return UUID(found.group()) if found else None
