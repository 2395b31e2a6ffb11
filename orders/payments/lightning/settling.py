"""The Lightning payment is ours: settled as the funding is published."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.utils import timezone

from lightning import types
from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from orders import keys
from orders.causes import Cause, FlagKind
from orders.flags import Found, flag, happened, raise_flag
from orders.models.order import Rail
from orders.nudges import nudge
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState
from orders.transitions import locked, move_invoice, note


def settle(order_id: UUID, node: LndNode) -> None:
    """The held payment that counts is ours, as the funding transaction is published.

    Money: ours from here on. The right to do so is the attempt's PUBLISHED state, tested here under the lock.
    Repeat: safe; the node swallows a second settle, and its word is what we record.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    with locked(order_id) as order:
        invoice = order.invoice
        published = order.openings.filter(state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED]).exists()
        if invoice is None or invoice.state != InvoiceState.HELD or not published:
            return
        if order.counted_payment != Rail.LIGHTNING:
            return
    if invoice.is_passed_on:
        passing.settle(order_id, node)
        return
    with suppress(Rejected, NotFound):  # cancelled already, or never held: the look below tells
        node.settle_invoice(keys.preimage(order_id))
    try:
        seen = node.invoice(invoice.payment_hash)
    except NotFound:  # another node, or one put back: only its own word CANCELED ends the payment
        words = "The node does not know the invoice of the payment that it holds for this order."
        flag(order_id, FlagKind.INVOICE_UNKNOWN, words)
        return
    _record_settling(order_id, seen.state, seen.settled_msat // 1000)


def _record_settling(order_id: UUID, state: types.NodeInvoiceState, settled_sat: int) -> None:
    with locked(order_id) as order:
        invoice = order.hold_invoice
        if invoice.state != InvoiceState.HELD:
            return
        if state is types.NodeInvoiceState.SETTLED:
            held = max(settled_sat, invoice.held_sat)
            move_invoice(order, invoice, InvoiceState.SETTLED, settled_at=timezone.now(), held_sat=held)
            note(order, Cause.PAYMENT_SETTLED, amount_sat=held)
            nudge(order)
        elif state is types.NodeInvoiceState.CANCELED:
            move_invoice(order, invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
            note(order, Cause.PAYMENT_LOST)
            words = "The funding is published but the node had returned the payment: this channel is unpaid."
            raise_flag(order, FlagKind.UNPAID_CHANNEL, words)
            nudge(order)
        else:
            happened(order, Found.INVOICE)
            words = "The node does not settle the held payment: see whether PREIMAGE_KEY is the right one."
            raise_flag(order, FlagKind.NOT_SETTLED, words)
