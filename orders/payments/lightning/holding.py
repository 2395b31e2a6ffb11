"""The Lightning payment comes: the node holds it, and the order is PAID."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import types
from lightning.errors import NotFound
from lightning.node import LndNode
from orders.actors import LSP
from orders.admission import placing
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.payments.counting import pay
from orders.payments.lightning.returning import record_cancelled
from orders.states import InvoiceState, OrderState
from orders.transitions import locked, move_invoice


def arrive(order: ChannelOrder, node: LndNode) -> bool:
    """What the node says of the open invoice is recorded; whether that was news.

    Raises: NodeUnavailable.
    """
    invoice = order.invoice
    if invoice is None or invoice.state != InvoiceState.OPEN:
        return False
    seen = _at_the_node(invoice.payment_hash, node)
    if seen is not None and seen.state is types.NodeInvoiceState.OPEN:
        return False
    if seen is None or seen.state is types.NodeInvoiceState.CANCELED:
        record_cancelled(order.pk)
    else:
        hold(order.pk, seen)
    return True


def _at_the_node(payment_hash: str, node: LndNode) -> types.Invoice | None:
    try:
        return node.invoice(payment_hash)
    except NotFound:
        return None


def hold(order_id: UUID, seen: types.Invoice) -> None:
    """The Lightning payment is recorded as held, and the order is PAID.

    Money: the buyer's still; the node holds it until we settle, return it, or its time runs out.
    Repeat: safe; a held payment is held once.
    """
    with locked(order_id) as order:
        invoice = order.hold_invoice
        if invoice.state != InvoiceState.OPEN or order.state != OrderState.CREATED:
            return
        # settled: by an older truth than our row, when the database was put back
        held_sat = max(seen.held_msat, seen.settled_msat) // 1000
        if held_sat < order.order_total_sat:
            return
        move_invoice(
            order,
            invoice,
            InvoiceState.HELD,
            held_sat=held_sat,
            held_at=timezone.now(),
            hold_expires_height=seen.nearest_expiry_height,
        )
        pay(order, Rail.LIGHTNING, cause=Cause.LIGHTNING_PAYMENT_HELD, actor=LSP)
        if held_sat > order.order_total_sat:
            order.overpaid = True
            words = f"The Lightning payment is {held_sat - order.order_total_sat} sat too much."
            raise_flag(order, FlagKind.LIGHTNING_SURPLUS, words)
        placing.counting()  # last: all who buy and pay wait for it
        placing.place(order)  # where there is no room it waits for a moment: its look tries again, and ends it


def claim_window() -> timedelta:
    """As long as the hold may wait for a claim."""
    return timedelta(seconds=settings.CLAIM_WINDOW_SECONDS)
