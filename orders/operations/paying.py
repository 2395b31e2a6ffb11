"""The Lightning payment: held, settled or returned; and what staff may say of any payment."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import types
from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from orders import keys
from orders.actors import LSP
from orders.errors import NotPossible
from orders.models import ChannelOrder, HoldInvoice
from orders.models.order import Rail
from orders.nudges import nudge
from orders.operations import pausing
from orders.operations.security import insecurity, required_confirmations
from orders.operations.surprises import flag_surprises
from orders.queries import deposits_of, depth_of, order_or_raise
from orders.states import CLAIMABLE, InvoiceState, OrderState
from orders.transitions import locked, move, move_invoice, needs_staff, note

__all__ = ["insecurity"]


def pay(order: ChannelOrder, rail: Rail, *, cause: str, actor: str = LSP) -> None:
    """The order is PAID by `rail`, which counts from now on; claimed too, where the buyer named the node.

    The caller holds the order's row.
    """
    now = timezone.now()
    held = rail is Rail.LIGHTNING
    window = settings.CLAIM_WINDOW_SECONDS if held else settings.CLAIM_WINDOW_ONCHAIN_SECONDS
    order.counted_payment, order.paid_at = rail, now
    order.claim_expires_at = now + timedelta(seconds=window)
    move(order, OrderState.PAID, cause=cause, actor=actor, rail=str(rail))
    if order.node_pubkey:
        order.claimed_at = now
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
        move(order, OrderState.URI_SET, cause="node_named_at_purchase", actor=actor, node=order.node_pubkey)
    flag_surprises(order)


def hold(order_id: UUID, seen: types.Invoice) -> None:
    """The Lightning payment is recorded as held, and the order is PAID.

    Money: the buyer's still; the node holds it until we settle, return it, or its time runs out.
    Repeat: safe; a held payment is held once.
    """
    with locked(order_id) as order:
        invoice = _invoice(order)
        if invoice.state != InvoiceState.OPEN or order.state != OrderState.CREATED:
            return
        # settled: by an older truth than our row, when the database was put back
        held_sat = max(seen.held_msat, seen.settled_msat) // 1000
        if held_sat < order.order_total_sat:
            return
        move_invoice(
            invoice,
            InvoiceState.HELD,
            held_sat=held_sat,
            held_at=timezone.now(),
            hold_expires_height=seen.nearest_expiry_height,
        )
        pay(order, Rail.LIGHTNING, cause="lightning_payment_held")
        if held_sat > order.order_total_sat:
            order.overpaid = True
            needs_staff(order, f"The Lightning payment is {held_sat - order.order_total_sat} sat too much.")


def intend_return(order_id: UUID, *, cause: str, actor: str = LSP) -> bool:
    """It is recorded that the Lightning payment goes back; False where that may not be.

    Money: still held. After this commit nothing but a return can follow, and no attempt to open can begin.
    Refused while an attempt is live, because its channel may yet come to be.
    """
    with locked(order_id) as order:
        return mark_returning(order, cause=cause, actor=actor)


def mark_returning(order: ChannelOrder, *, cause: str, actor: str) -> bool:
    """As `intend_return`, for who holds the order's row already."""
    invoice = order.invoice
    if invoice is None or invoice.state not in {InvoiceState.OPEN, InvoiceState.HELD} or order.live_opening is not None:
        return False
    move_invoice(invoice, InvoiceState.RETURNING, return_cause=cause)
    note(order, "payment_returning", actor=actor, why=cause)
    nudge(order)
    return True


def finish_return(order_id: UUID, node: LndNode) -> None:
    """What was recorded as RETURNING is back with the buyer, and the order says so.

    Money: the buyer's once the node says CANCELED; the order is EXPIRED or REFUNDED only then.
    Repeat: safe; the node is asked what it did.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    payment_hash = _invoice(order_or_raise(order_id)).payment_hash
    with suppress(Rejected, NotFound):  # settled already, or gone: the look below tells
        node.cancel_invoice(payment_hash)
    try:
        state = node.invoice(payment_hash).state
    except NotFound:
        state = types.InvoiceState.CANCELED  # an invoice that does not exist holds nothing
    if state is types.InvoiceState.CANCELED:
        record_cancelled(order_id)
    elif state is types.InvoiceState.SETTLED:
        _record_settled_against_our_will(order_id)


def record_cancelled(order_id: UUID) -> None:
    """The node holds nothing of this order's Lightning payment any more; the order follows.

    Repeat: safe.
    """
    with locked(order_id) as order:
        invoice = _invoice(order)
        if invoice.state in {InvoiceState.CANCELLED, InvoiceState.SETTLED}:
            return
        was_held = invoice.held_at is not None
        cause = invoice.return_cause or "node_cancelled"
        move_invoice(invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
        note(order, "payment_returned" if was_held else "invoice_cancelled", why=cause)
        nudge(order)
        if order.counted_payment == Rail.LIGHTNING:
            _after_return(order, cause)
        elif order.state == OrderState.CREATED and cause == "cancelled":
            _end_unpaid(order, cause=cause, actor=LSP)


def expire(order_id: UUID) -> None:
    """The unpaid order is EXPIRED; its invoice is dead at the node already.

    Money: none is held. A covering deposit that was seen keeps the order, so the caller's look decides and this
    tests again under the lock. Repeat: safe.
    """
    with locked(order_id) as order:
        invoice = order.invoice
        dead = invoice is None or invoice.state == InvoiceState.CANCELLED
        if order.state == OrderState.CREATED and dead and order.expires_at <= timezone.now() and not covered(order):
            _end_unpaid(order, cause="expired", actor=LSP)


def _end_unpaid(order: ChannelOrder, *, cause: str, actor: str) -> None:
    """The order is EXPIRED; what has arrived on chain all the same is for staff to return."""
    move(order, OrderState.EXPIRED, cause=cause, actor=actor)
    received = sum(deposit.amount_sat for deposit in deposits_of(order))
    if received:
        needs_staff(order, f"Ended unpaid with {received} sat on chain: return them, or revive the order.")


def covered(order: ChannelOrder) -> bool:
    """Deposits that would pay the order are there, deep enough or not."""
    return sum(deposit.amount_sat for deposit in deposits_of(order)) >= order.order_total_sat


def _after_return(order: ChannelOrder, cause: str) -> None:
    """A held payment that counted is gone: wherever the order stands, it says so."""
    if order.live_opening is not None or order.state not in {
        OrderState.PAID,
        OrderState.URI_SET,
        OrderState.GIVE_UP,
        OrderState.REJECTED,
    }:
        # The node cancelled by itself while we were about to deliver: a loss with a name, unless the attempt fails.
        needs_staff(order, "The node returned the Lightning payment although the channel is being opened.")
        return
    if order.state == OrderState.URI_SET:
        order.give_up_reason = order.give_up_reason or "PAYMENT_NOT_SECURED"
        order.give_up_until = timezone.now()
        move(order, OrderState.GIVE_UP, cause=cause, reason=order.give_up_reason)
    move(order, OrderState.REFUNDED, cause=cause, rail=Rail.LIGHTNING.value)


def _record_settled_against_our_will(order_id: UUID) -> None:
    with locked(order_id) as order:
        invoice = _invoice(order)
        if invoice.state == InvoiceState.SETTLED:
            return
        move_invoice(invoice, InvoiceState.SETTLED, settled_at=timezone.now())
        note(order, "payment_settled", unexpected=True)
        needs_staff(order, "The Lightning payment was settled at the node although it was to be returned.")
        nudge(order)


def settle(order_id: UUID, node: LndNode) -> None:
    """The held payment that counts is ours, as the funding transaction is published.

    Money: ours from here on. The right to do so is the attempt's PUBLISHED state, tested here under the lock.
    Repeat: safe; the node swallows a second settle, and its word is what we record.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    with locked(order_id) as order:
        invoice = _invoice(order)
        opening = order.openings.filter(state__in=["published", "confirmed"]).first()
        if order.counted_payment != Rail.LIGHTNING or invoice.state != InvoiceState.HELD or opening is None:
            return
    with suppress(Rejected, NotFound):  # cancelled already, or never held: the look below tells
        node.settle_invoice(keys.preimage(order_id))
    try:
        seen = node.invoice(invoice.payment_hash)
    except NotFound:  # another node, or one put back: only its own word CANCELED ends the payment
        flag(order_id, "The node does not know the invoice of the payment that it holds for this order.")
        return
    _record_settling(order_id, seen.state, seen.settled_msat // 1000)


def _record_settling(order_id: UUID, state: types.InvoiceState, settled_sat: int) -> None:
    with locked(order_id) as order:
        invoice = _invoice(order)
        if invoice.state != InvoiceState.HELD:
            return
        if state is types.InvoiceState.SETTLED:
            held = max(settled_sat, invoice.held_sat)
            move_invoice(invoice, InvoiceState.SETTLED, settled_at=timezone.now(), held_sat=held)
            note(order, "payment_settled", amount_sat=held)
            nudge(order)
        elif state is types.InvoiceState.CANCELED:
            move_invoice(invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
            note(order, "payment_lost")
            needs_staff(
                order, "The funding is published but the node had returned the payment: this channel is unpaid."
            )
            nudge(order)
        else:
            needs_staff(order, "The node does not settle the held payment: see whether PREIMAGE_KEY is the right one.")


def cancel(order_id: UUID, *, actor: str) -> ChannelOrder:
    """The order comes to nothing: unpaid it expires, a held payment goes back, on-chain money waits for staff.

    Raises: OrderNotFound, NotPossible (an attempt to open is live, the order is over, or our records are behind the
    node's: its channel may be there already).
    """
    if pausing.is_behind():
        raise NotPossible("Our records are behind the node's: run `manage.py recover` first.", field="order_id")
    with locked(order_id) as order:
        if order.live_opening is not None:
            raise NotPossible("An attempt to open the channel is live: give it time to end.", field="order_id")
        if order.invoice is not None and order.invoice.state == InvoiceState.RETURNING:
            raise NotPossible("The payment is going back already.", field="order_id")
        if order.state == OrderState.CREATED:
            if not mark_returning(order, cause="cancelled", actor=actor):
                _end_unpaid(order, cause="cancelled", actor=actor)
        elif order.state in CLAIMABLE or order.state == OrderState.GIVE_UP:
            _cancel_paid(order, actor)
        else:
            raise NotPossible(f"An order in state {order.get_state_display()} cannot be cancelled.", field="order_id")
    return order


def _cancel_paid(order: ChannelOrder, actor: str) -> None:
    now = timezone.now()
    if order.state == OrderState.URI_SET:
        order.give_up_reason, order.give_up_until = "CANCELLED", now
        move(order, OrderState.GIVE_UP, cause="cancelled", actor=actor, reason="CANCELLED")
    invoice = order.invoice
    if order.counted_payment == Rail.LIGHTNING and invoice is not None and invoice.state == InvoiceState.HELD:
        mark_returning(order, cause="cancelled", actor=actor)
        return
    move(order, OrderState.REJECTED, cause="cancelled", actor=actor)
    needs_staff(order, "Cancelled; the buyer's money is with us and is to be returned.", actor=actor)


def record_returned(order_id: UUID, *, actor: str) -> ChannelOrder:
    """Staff have sent the buyer's money back by hand: the order is REFUNDED, and is never delivered.

    Money: the buyer's again, by the word of the person whose name is journalled. What the node still holds goes back
    by itself and is not meant here.
    Raises: OrderNotFound, NotPossible.
    """
    with locked(order_id) as order:
        held = order.invoice is not None and order.invoice.state in {InvoiceState.HELD, InvoiceState.RETURNING}
        over = order.state in {OrderState.GIVE_UP, OrderState.REJECTED, OrderState.EXPIRED}
        received = bool(order.counted_payment) or order.onchain_payments.exists()
        if not over or held or not received:
            raise NotPossible(
                "Only money that we took for a given-up, rejected or expired order can be returned by hand.",
                field="order_id",
            )
        order.needs_staff, order.needs_staff_reason = False, ""
        order.counted_payment = order.counted_payment or Rail.ONCHAIN
        move(order, OrderState.REFUNDED, cause="returned_by_hand", actor=actor)
    return order


def revive(order_id: UUID, *, actor: str) -> ChannelOrder:
    """An EXPIRED order whose covering on-chain payment came late is PAID after all.

    Raises: OrderNotFound, NotPossible.
    """
    with locked(order_id) as order:
        if order.state != OrderState.EXPIRED:
            raise NotPossible("Only an expired order can be revived.", field="order_id")
        depth = required_confirmations(order)
        deep = [deposit.amount_sat for deposit in deposits_of(order) if depth_of(deposit) >= depth]
        if sum(deep) < order.order_total_sat:
            raise NotPossible("No on-chain payment covers this order.", field="order_id")
        order.needs_staff, order.needs_staff_reason = False, ""
        pay(order, Rail.ONCHAIN, cause="late_payment_accepted", actor=actor)
    return order


def flag(order_id: UUID, reason: str) -> None:
    """The order is flagged for staff. Repeat: safe."""
    with locked(order_id) as order:
        needs_staff(order, reason)


def settle_flag(order_id: UUID, *, actor: str) -> ChannelOrder:
    """Staff have looked at the order: its flag is down, the journal keeps it."""
    with locked(order_id) as order:
        if order.needs_staff:
            note(order, "staff_have_looked", actor=actor, reason=order.needs_staff_reason)
            order.needs_staff, order.needs_staff_reason = False, ""
    return order


def _invoice(order: ChannelOrder) -> HoldInvoice:
    invoice = order.invoice
    if invoice is None:
        raise NotPossible("This order has no Lightning invoice.", field="order_id")
    return invoice
