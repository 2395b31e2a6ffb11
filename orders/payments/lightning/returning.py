"""The Lightning payment goes back: recorded first, then done, then told."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from uuid import UUID

from django.utils import timezone

from lightning import types
from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from orders import queries
from orders.actors import LSP, Authority
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.nudges import nudge
from orders.payments.counting import end_unpaid
from orders.payments.lightning import passing
from orders.states import InvoiceState, OrderState
from orders.transitions import locked, move, move_invoice, note

#: Words of an attempt that ended so for good: the wallet takes no such channel. Spec: bLIP-52.
_REFUSED_BY_THE_WALLET: Final = frozenset(
    {"CHANNEL_REJECTED", "ZERO_CONF_REJECTED", "CHAN_SIZE_TOO_BIG", "CHAN_SIZE_TOO_SMALL", "FEATURE_MISSING"}
    | {"PEER_REJECT_MULTI_CHAN", "PEER_POLICY", "ANNOUNCEMENT_REJECTED"}
)


def give_back(order: ChannelOrder, *, cause: Cause, actor: Authority) -> bool:
    """As `intend_return`, for who holds the order's row already."""
    invoice = order.invoice
    if invoice is None or invoice.state not in {InvoiceState.OPEN, InvoiceState.HELD} or order.live_opening is not None:
        return False
    move_invoice(order, invoice, InvoiceState.RETURNING, return_cause=cause)
    note(order, Cause.PAYMENT_RETURNING, actor=actor, why=cause)
    nudge(order)
    return True


def finish_return(order_id: UUID, node: LndNode) -> None:
    """What was recorded as RETURNING is back with the buyer, and the order says so.

    Money: the buyer's once the node says CANCELED; the order is EXPIRED or REFUNDED only then.
    Repeat: safe; the node is asked what it did.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    invoice = queries.order_or_raise(order_id).hold_invoice
    if invoice.is_passed_on:
        _fail_parts(order_id)
        return
    payment_hash = invoice.payment_hash
    with suppress(Rejected, NotFound):  # settled already, or gone: the look below tells
        node.cancel_invoice(payment_hash)
    try:
        state = node.invoice(payment_hash).state
    except NotFound:
        state = types.NodeInvoiceState.CANCELED  # an invoice that does not exist holds nothing
    if state is types.NodeInvoiceState.CANCELED:
        record_cancelled(order_id)
    elif state is types.NodeInvoiceState.SETTLED:
        _record_settled_against_our_will(order_id)


def _fail_parts(order_id: UUID) -> None:
    """What was written down of its parts our node is told, now or when it asks again: that is as good as done."""
    with locked(order_id) as order:
        reason = order.give_up_reason or order.hold_invoice.return_cause
        passing.turn_back(order, reason=reason, is_final=reason in _REFUSED_BY_THE_WALLET)
    record_cancelled(order_id)


def keep(order_id: UUID) -> None:
    """What was recorded as RETURNING is held as before: the node has a channel of the order.

    Money: whose it is, is for a person to say; the node still holds it. Repeat: safe.
    """
    with locked(order_id) as order:
        invoice = order.hold_invoice
        if invoice.state == InvoiceState.RETURNING:
            move_invoice(order, invoice, InvoiceState.HELD, return_cause="")
            note(order, Cause.PAYMENT_KEPT)


def record_cancelled(order_id: UUID) -> None:
    """The node holds nothing of this order's Lightning payment any more; the order follows.

    Repeat: safe.
    """
    with locked(order_id) as order:
        invoice = order.hold_invoice
        if invoice.state in {InvoiceState.CANCELLED, InvoiceState.SETTLED}:
            return
        was_held = invoice.held_at is not None
        cause = Cause(invoice.return_cause or Cause.NODE_CANCELLED)
        move_invoice(order, invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
        note(order, Cause.PAYMENT_RETURNED if was_held else Cause.INVOICE_CANCELLED, why=cause)
        nudge(order)
        if order.counted_payment == Rail.LIGHTNING:
            _after_return(order, cause)
        elif order.state == OrderState.CREATED and cause in {Cause.CANCELLED, Cause.GAVE_WAY}:
            end_unpaid(order, cause=cause, actor=LSP)


def _after_return(order: ChannelOrder, cause: Cause) -> None:
    """A held payment that counted is gone: wherever the order stands, it says so."""
    if order.is_undone:  # there never was a channel
        return
    if order.live_opening is not None or order.state not in {
        OrderState.PAID,
        OrderState.URI_SET,
        OrderState.GIVE_UP,
        OrderState.REJECTED,
    }:
        # The node cancelled by itself while we were about to deliver: a loss with a name, unless the attempt fails.
        words = "The node returned the Lightning payment although the channel is being opened."
        raise_flag(order, FlagKind.RETURNED_WHILE_OPENING, words)
        return
    if order.state == OrderState.URI_SET:
        order.give_up_reason = order.give_up_reason or "PAYMENT_NOT_SECURED"
        order.give_up_until = timezone.now()
        move(order, OrderState.GIVE_UP, cause=cause, reason=order.give_up_reason)
    move(order, OrderState.REFUNDED, cause=cause, rail=Rail.LIGHTNING.value)


def _record_settled_against_our_will(order_id: UUID) -> None:
    with locked(order_id) as order:
        invoice = order.hold_invoice
        if invoice.state == InvoiceState.SETTLED:
            return
        move_invoice(order, invoice, InvoiceState.SETTLED, settled_at=timezone.now())
        note(order, Cause.PAYMENT_SETTLED, unexpected=True)
        words = "The Lightning payment was settled at the node although it was to be returned."
        raise_flag(order, FlagKind.SETTLED_UNASKED, words)
        nudge(order)
