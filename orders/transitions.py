"""The only writer of states: the tables, the write and the journal, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orders.actors import LSP, Authority
from orders.errors import OrderNotFound
from orders.ids import short
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, OrderEvent, WalletTransaction
from orders.nudges import nudge
from orders.states import (
    INVOICE_MOVES,
    MOVES,
    OPENING_MOVES,
    TRANSACTION_MOVES,
    InvoiceState,
    OpeningState,
    OrderState,
    TransactionState,
)

log = logging.getLogger(__name__)


class IllegalMove(Exception):
    """A defect of ours: the table does not allow this move. Nothing was written."""


@contextmanager
def locked(order_id: UUID) -> Iterator[ChannelOrder]:
    """The order's row is ours until the block ends; what was journalled or nudged in it is saved with it.

    Durable: it commits when it ends, so that no node call can find itself inside of it.
    Raises: OrderNotFound.
    """
    with transaction.atomic(durable=True):
        order = ChannelOrder.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise OrderNotFound
        before = (order.version, order.due_at)
        yield order
        if (order.version, order.due_at) != before:
            order.save()


def move(order: ChannelOrder, to: OrderState, *, cause: str, actor: Authority = LSP, **facts: Any) -> None:
    """The order is in state `to`, journalled, and due for a look.

    Raises: IllegalMove.
    """
    if to not in MOVES[OrderState(order.state)]:
        raise IllegalMove(f"order {short(order.pk)}: {order.state} -> {to} ({cause})")
    before, order.state = order.state, to
    _write(order, before, cause, actor, facts)
    nudge(order)


def note(order: ChannelOrder, cause: str, *, actor: Authority = LSP, **facts: Any) -> None:
    """Something happened to the order that does not change its state."""
    _write(order, order.state, cause, actor, facts)


def move_invoice(invoice: HoldInvoice, to: InvoiceState, **fields: Any) -> None:
    """The invoice is in state `to`, with `fields` set. The caller holds the order's row and journals."""
    if to not in INVOICE_MOVES[InvoiceState(invoice.state)]:
        raise IllegalMove(f"invoice {invoice.payment_hash}: {invoice.state} -> {to}")
    invoice.state = to
    _set(invoice, fields)
    invoice.save()


def move_opening(opening: ChannelOpening, to: OpeningState, **fields: Any) -> None:
    """The attempt is in state `to`, with `fields` set. The caller holds the order's row and journals."""
    if to not in OPENING_MOVES[OpeningState(opening.state)]:
        raise IllegalMove(f"opening {opening}: {opening.state} -> {to}")
    opening.state = to
    opening.changed_at = timezone.now()
    _set(opening, fields)
    opening.save()


def move_transaction(transaction_id: int, to: TransactionState, **fields: Any) -> None:
    """The transaction is in state `to`, with `fields` set, if it was not there before.

    It may carry the openings of several orders: so it is locked too, after the order's row, which the caller holds.
    """
    row = WalletTransaction.objects.select_for_update().get(pk=transaction_id)
    if row.state == to:
        return
    if to not in TRANSACTION_MOVES[TransactionState(row.state)]:
        raise IllegalMove(f"transaction {row.txid}: {row.state} -> {to}")
    row.state = to
    _set(row, fields)
    row.save(update_fields=["state", *fields])


def needs_staff(order: ChannelOrder, reason: str, *, actor: Authority = LSP) -> None:
    """The order is flagged for a person, once for each reason."""
    reason = reason[:200]
    if order.needs_staff and order.needs_staff_reason == reason:
        return
    order.needs_staff, order.needs_staff_reason = True, reason
    note(order, "needs_staff", actor=actor, reason=reason)


def tell(order: ChannelOrder, before: str, cause: str, actor: Authority) -> None:
    """The log has a line of this move, once it is committed."""
    move_ = f"order={order.pk} version={order.version} state={before or '-'}->{order.state} cause={cause} actor={actor}"
    transaction.on_commit(lambda: log.info(move_))


def _write(order: ChannelOrder, before: str, cause: str, actor: Authority, facts: dict[str, Any]) -> None:
    order.version += 1
    tell(order, before, cause, actor)
    OrderEvent.objects.create(
        order=order,
        version=order.version,
        at=timezone.now(),
        actor=str(actor),
        cause=cause,
        from_state=before,
        to_state=order.state,
        facts={key: value for key, value in facts.items() if value not in ("", None)},
    )


def _set(row: HoldInvoice | ChannelOpening | WalletTransaction, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
