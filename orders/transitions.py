"""The only writer of states: the tables, the write, the journal, flags, reservation and books, in one transaction."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.utils import timezone

from orders import books, flags, journal, reservations
from orders.actors import LSP, Authority
from orders.causes import Cause
from orders.ids import short
from orders.journal import locked
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder, HoldInvoice, Refund, WalletTransaction
from orders.nudges import nudge
from orders.states import (
    CLOSING_MOVES,
    INVOICE_MOVES,
    LIVE_CLOSINGS,
    MOVES,
    OPENING_MOVES,
    REFUND_MOVES,
    TRANSACTION_MOVES,
    ClosingState,
    InvoiceState,
    OpeningState,
    OrderState,
    RefundState,
    TransactionState,
)

__all__ = [
    "IllegalMove",
    "begin_opening",
    "locked",
    "move",
    "move_closing",
    "move_invoice",
    "move_opening",
    "move_refund",
    "move_transaction",
    "note",
]


class IllegalMove(Exception):
    """A defect of ours: the table does not allow this move. Nothing was written."""


def move(order: ChannelOrder, to: OrderState, *, cause: Cause, actor: Authority = LSP, **facts: Any) -> None:
    """The order is in state `to`, journalled, and due for a look.

    Raises: IllegalMove.
    """
    if to not in MOVES[OrderState(order.state)]:
        raise IllegalMove(f"order {short(order.pk)}: {order.state} -> {to} ({cause})")
    before, order.state = order.state, to
    order.step += 1
    journal.write(order, before, cause, actor, facts)
    flags.happened(order, to, cause, actor=actor)
    reservations.follow(order, before)
    nudge(order)


def note(order: ChannelOrder, cause: Cause, *, actor: Authority = LSP, **facts: Any) -> None:
    """Something happened to the order that changes no state: no reason to look at it again."""
    journal.write(order, order.state, cause, actor, facts)
    flags.happened(order, cause, actor=actor)


def move_invoice(order: ChannelOrder, invoice: HoldInvoice, to: InvoiceState, **fields: Any) -> None:
    """The order's invoice is in state `to`, with `fields` set. The caller holds the order's row and journals."""
    if to not in INVOICE_MOVES[InvoiceState(invoice.state)] or invoice.order_id != order.pk:
        raise IllegalMove(f"invoice {invoice.payment_hash}: {invoice.state} -> {to}")
    with books.following(order, invoice):
        invoice.state = to
        _set(invoice, fields)
    invoice.save()
    order.step += 1
    if to == InvoiceState.RETURNING:
        reservations.going_back(order)
    flags.happened(order, to)


def begin_opening(order: ChannelOrder, **fields: Any) -> ChannelOpening:
    """The order has one more attempt. The caller holds the order's row and journals."""
    opening = ChannelOpening.objects.create(order=order, attempt=order.openings.count() + 1, **fields)
    order.step += 1
    reservations.follow_attempt(order, opening, "")
    flags.happened(order, OpeningState(opening.state))
    return opening


def move_opening(order: ChannelOrder, opening: ChannelOpening, to: OpeningState, **fields: Any) -> None:
    """The order's attempt is in state `to`, with `fields` set. The caller holds the order's row and journals."""
    if to not in OPENING_MOVES[OpeningState(opening.state)] or opening.order_id != order.pk:
        raise IllegalMove(f"opening {opening}: {opening.state} -> {to}")
    before = opening.state
    with books.following(order, opening):
        opening.state = to
        _set(opening, fields)
    opening.changed_at = timezone.now()
    opening.save()
    order.step += 1
    reservations.follow_attempt(order, opening, before)
    flags.happened(order, to)


def move_refund(order: ChannelOrder, refund: Refund, to: RefundState, **fields: Any) -> None:
    """The order's refund is in state `to`, with `fields` set. The caller holds the order's row and journals."""
    if to not in REFUND_MOVES[RefundState(refund.state)] or refund.order_id != order.pk:
        raise IllegalMove(f"{refund}: {refund.state} -> {to}")
    with books.following(order, refund):
        refund.state = to
        _set(refund, fields)
    refund.save()
    order.step += 1
    nudge(order)


def move_closing(order: ChannelOrder, closing: ChannelClosing, to: ClosingState, **fields: Any) -> None:
    """The close of the order's channel is in state `to`, with `fields` set. The caller holds the order's row."""
    if to not in CLOSING_MOVES[ClosingState(closing.state)] or closing.order_id != order.pk:
        raise IllegalMove(f"{closing}: {closing.state} -> {to}")
    closing.state = to
    if to not in LIVE_CLOSINGS:
        closing.ended_at = timezone.now()
    _set(closing, fields)
    closing.save()
    order.step += 1
    nudge(order)


def move_transaction(transaction_id: int, to: TransactionState, **fields: Any) -> None:
    """The transaction is in state `to`, with `fields` set, if it was not there before.

    It may carry the openings of several orders: so it is locked too, after the order's row, which the caller holds.
    """
    row = WalletTransaction.objects.select_for_update().get(pk=transaction_id)
    another_orders_look_was_first = to == TransactionState.PUBLISHED and row.state == TransactionState.DEEP
    if row.state == to or another_orders_look_was_first:
        return
    if to not in TRANSACTION_MOVES[TransactionState(row.state)]:
        raise IllegalMove(f"transaction {row.txid}: {row.state} -> {to}")
    before, row.state = copy(row), to
    _set(row, fields)
    row.save(update_fields=["state", *fields])
    books.transaction_moved(before, row)


def _set(
    row: HoldInvoice | ChannelOpening | ChannelClosing | Refund | WalletTransaction, fields: dict[str, Any]
) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
