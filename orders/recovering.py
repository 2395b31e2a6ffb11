"""What the node knows and our records don't: after a restore or a fail-over the truth is at the node.

Adopted where it carries the id of an order we know; listed for a person where it does not.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import dropwhile
from typing import Final
from uuid import UUID

from django.db.models import Max, Min
from django.utils import timezone

from lightning import types
from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import ChainTransaction, Channel, NodeAddress, Outpoint, PendingChannel
from orders import actors, keys, locks, marks, money, queries
from orders.actors import LSP, Authority
from orders.advance import advance
from orders.causes import Cause, PauseCause
from orders.errors import OrderError
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    HoldInvoice,
    SwitchEvent,
    SwitchName,
    TransactionKind,
    WalletTransaction,
)
from orders.nudges import nudge_all
from orders.openings import opening
from orders.operations import claiming, giving_up, noting, pausing
from orders.states import At, InvoiceState, OrderState
from orders.wallet.looking import LOOK_BACK_BLOCKS
from orders.wallet.refunded import sent_back_sat

log = logging.getLogger(__name__)

#: Why nothing is sold or opened. Buyers read it, so it names no order: who knows a paid order's id may claim it.
_REASON: Final = "Our records are being checked after a restart"
#: A list of the node's may be so old: what was returned while it was made contradicts nothing, and pauses no shop.
_TOLD_LATE: Final = timedelta(minutes=5)
#: What was made within so many blocks of the newest order may be on record in another order, or not at all.
_DAY_BLOCKS: Final = 144
#: So many things a pause names; the next process that starts names the next.
_MOST_NAMED: Final = 5
#: States in which an order may still get the channel that the node has for it.
_BEHIND: Final = frozenset({OrderState.CREATED, OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP})
#: States of an order whose money went back, or never came.
_OVER: Final = frozenset({OrderState.REFUNDED, OrderState.EXPIRED})
#: States of an order for which money that went back is explained: all of it, or a surplus.
_SETTLED_WITH: Final = frozenset(
    {OrderState.REFUNDED, OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING, OrderState.CLOSED}
)


class Kind(StrEnum):
    """What the node has."""

    CHANNEL = "channel"
    FUNDING = "funding"
    PAYMENT = "held payment"
    INVOICE = "open invoice"
    DEPOSIT = "deposit"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Unknown:
    """One thing that the node has and our records do not."""

    kind: Kind
    what: str  # an outpoint, a txid or a payment hash
    order_id: UUID | None
    amount_sat: int
    advice: str
    peer_pubkey: str = ""
    #: Delivered and paid: only the record is lost.
    is_done: bool = False


#: What is told of what was returned: of an open invoice nothing was held.
_RETURNED_AS: Final = {Kind.PAYMENT: Cause.PAYMENT_RETURNED, Kind.INVOICE: Cause.INVOICE_CANCELLED}


def survey(node: LndNode) -> list[Unknown]:
    """Everything of the kinds above that no row of ours explains, the most urgent first.

    Repeat: safe, it only reads. Raises: NodeUnavailable.
    """
    invoices = list(_invoices(node.pending_invoices(after_add_index=0)))
    payments = [unknown for unknown in invoices if unknown.kind is Kind.PAYMENT]
    rest = [unknown for unknown in invoices if unknown.kind is Kind.INVOICE]
    transactions = node.transactions(from_height=_since(node))
    channels = list(_channels(node))
    explained = {unknown.what.partition(":")[0] for unknown in channels}
    fundings = [unknown for unknown in _fundings(transactions, node) if unknown.what not in explained]
    return [*channels, *fundings, *payments, *_refunds(transactions), *_deposits(transactions), *rest]


def _since(node: LndNode) -> int:
    """As far back as an order of ours could have left a trace, and all of it where there is no order."""
    oldest = ChannelOrder.objects.aggregate(height=Min("created_height"))["height"]
    return max(0, int(oldest) - LOOK_BACK_BLOCKS) if oldest is not None else 0


def _invoices(pending: Iterable[types.Invoice]) -> Iterator[Unknown]:
    ours = [
        (order_id, invoice) for invoice in pending if (order_id := marks.order_of_invoice(invoice.memo)) is not None
    ]
    hashes = [invoice.payment_hash for _, invoice in ours]
    rows = HoldInvoice.objects.filter(payment_hash__in=hashes)
    known = set(rows.values_list("payment_hash", flat=True))
    back = rows.filter(state=InvoiceState.CANCELLED, cancelled_at__lt=timezone.now() - _TOLD_LATE)
    over = set(back.values_list("payment_hash", flat=True))
    for order_id, invoice in ours:
        held = invoice.state is types.NodeInvoiceState.ACCEPTED
        is_over = invoice.payment_hash in over  # so we say; the node knows better
        if invoice.payment_hash in known and not (held and is_over):
            continue
        whose = "that says it went back" if is_over else "we do not know"
        advice = f"Held for an order {whose}: return it, unless a channel of this order is listed."
        yield Unknown(
            Kind.PAYMENT if held else Kind.INVOICE,
            invoice.payment_hash,
            order_id,
            invoice.value_sat,
            advice if held else "Nobody has paid it; it can still be paid: cancel it.",
        )


def _channels(node: LndNode) -> Iterator[Unknown]:
    channels: list[Channel | PendingChannel] = [*node.channels(), *node.pending_channels()]
    named = [(marks.order_of_channel(channel.memo), channel) for channel in channels]
    ours = [(order_id, channel) for order_id, channel in named if order_id is not None]
    known = _known_outpoints({channel.outpoint.txid for _, channel in ours})
    for order_id, channel in ours:
        if str(channel.outpoint) in known:
            continue
        advice, is_done = _advice(order_id, node)
        yield Unknown(
            Kind.CHANNEL, str(channel.outpoint), order_id, channel.capacity_sat, advice, channel.peer_pubkey, is_done
        )


def _known_outpoints(txids: Collection[str]) -> set[str]:
    rows = ChannelOpening.objects.filter(transaction__txid__in=txids).values_list("transaction__txid", "output_index")
    return {f"{txid}:{index}" for txid, index in rows}


def _fundings(transactions: Iterable[ChainTransaction], node: LndNode) -> Iterator[Unknown]:
    known = set(WalletTransaction.objects.values_list("txid", flat=True))
    for transaction in transactions:
        # A conflict pays ourselves: whatever became of it, nobody is owed anything for it.
        order_id = marks.order_of_label(transaction.label, TransactionKind.FUNDING)
        if order_id is not None and transaction.txid not in known:
            advice, is_done = _advice(order_id, node)
            yield Unknown(Kind.FUNDING, transaction.txid, order_id, 0, advice, is_done=is_done)


def _refunds(transactions: Iterable[ChainTransaction]) -> Iterator[Unknown]:
    """Money that staff sent back by hand, of orders that do not say so. A surplus that was returned is no news."""
    named = ((tx, order_id) for tx in transactions for order_id in sorted(marks.orders_of_refund(tx.label)))
    for transaction, order_id in named:
        order = ChannelOrder.objects.filter(pk=order_id).exclude(state__in=_SETTLED_WITH).first()
        if order is None:
            continue
        returned_sat = sent_back_sat(order_id, [transaction])
        if money.of(order, At.SEEN).received_sat - returned_sat < order.order_total_sat:
            advice = "Sent back by hand: cancel the order, then press `Returned by hand` in the admin."
            yield Unknown(Kind.REFUND, transaction.txid, order.pk, returned_sat, advice)


def _advice(order_id: UUID, node: LndNode) -> tuple[str, bool]:
    """What is to be done about a channel or funding of this order, and whether that is nothing."""
    order = ChannelOrder.objects.filter(pk=order_id).first()
    if order is None:
        return _advice_on_lost(order_id, node)
    if order.state in _BEHIND:
        return "Of an order we know: it is adopted.", False
    if order.state in _OVER:
        return f"Of an order that is {order.state} here: revive it if it is paid, else settle with the buyer.", False
    return f"Of an order that is {order.state} here with another channel: see which is the buyer's.", False


def _advice_on_lost(order_id: UUID, node: LndNode) -> tuple[str, bool]:
    try:
        state = node.invoice(keys.payment_hash(order_id)).state
    except NotFound:
        state = None
    if state is types.NodeInvoiceState.SETTLED:
        return "Of an order we do not know, delivered and paid: nothing is left to do.", True
    if state is types.NodeInvoiceState.ACCEPTED:
        return "Of an order we do not know, its payment held: once it is open, --settle-payments takes it.", False
    return "Of an order we do not know, not paid by Lightning: keep the channel if a deposit paid it.", False


def _deposits(transactions: tuple[ChainTransaction, ...]) -> Iterator[Unknown]:
    """Deposits to addresses that no order has; what the wallet sent to itself is left out."""
    wallet = {Outpoint(tx.txid, output.index) for tx in transactions for output in tx.outputs if output.ours}
    known = set(ChannelOrder.objects.exclude(deposit_address=None).values_list("deposit_address", flat=True))
    for transaction in transactions:
        if transaction.label or wallet.intersection(transaction.inputs):
            continue
        for output in transaction.outputs:
            if output.ours and output.address not in known:
                advice = "To an address that no order has: yours, or of an order that was lost."
                yield Unknown(Kind.DEPOSIT, f"{transaction.txid}:{output.index}", None, output.amount_sat, advice)


@actors.open_to(actors.Kind.COMMAND)
def adopt(found: Iterable[Unknown], node: LndNode, *, actor: Authority) -> set[UUID]:
    """Orders that we know, and that are behind what the node has of them, have caught up; returns which.

    Money: nothing new is paid or opened. The payment is recorded as the node has it, the claim is read off the
    channel, and the opening is adopted by the same look that comes before every attempt. Repeat: safe.
    Raises: NodeUnavailable.
    """
    adopted: set[UUID] = set()
    for unknown in found:
        order = ChannelOrder.objects.filter(pk=unknown.order_id).first() if unknown.order_id else None
        if order is None or unknown.kind not in {Kind.CHANNEL, Kind.FUNDING} or order.state not in _BEHIND:
            continue
        if _catch_up(order.pk, unknown, node, actor):
            adopted.add(order.pk)
    return adopted


@actors.open_to(actors.Kind.COMMAND)
def return_payments(found: Iterable[Unknown], node: LndNode, *, actor: Authority) -> list[Unknown]:
    """Held payments and open invoices of unknown orders are cancelled at the node, where no channel stands for them.

    Money: what was held is the buyer's again. An order that left a channel or a funding is not touched: its payment
    is earned, and is a person's to settle. Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    all_found = list(found)
    delivered = {unknown.order_id for unknown in all_found if unknown.kind in {Kind.CHANNEL, Kind.FUNDING}}
    returned = []
    for unknown in all_found:
        if unknown.kind in {Kind.PAYMENT, Kind.INVOICE} and unknown.order_id not in delivered:
            with suppress(Rejected, NotFound):  # settled or gone meanwhile: the next survey says
                node.cancel_invoice(unknown.what)
                returned.append(unknown)
                _tell(unknown, _RETURNED_AS[unknown.kind], actor)
    return returned


@actors.open_to(actors.Kind.COMMAND)
def settle_payments(found: Iterable[Unknown], node: LndNode, *, actor: Authority) -> list[Unknown]:
    """Held payments of unknown orders are taken where the order's channel is open at the node.

    Money: ours, as it would have been had the order's record not been lost. Repeat: safe.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    # A zero-conf channel is open before its funding is published; the signed one may have been lost with our records.
    funded = (channel for channel in node.channels() if channel.short_channel_id)
    open_for = {marks.order_of_channel(channel.memo) for channel in funded}
    settled = []
    for unknown in found:
        if unknown.kind is Kind.PAYMENT and unknown.order_id is not None and unknown.order_id in open_for:
            with suppress(Rejected, NotFound):  # returned or taken meanwhile, or another PREIMAGE_KEY
                node.settle_invoice(keys.preimage(unknown.order_id))
                settled.append(unknown)
                _tell(unknown, Cause.PAYMENT_SETTLED, actor)
    return settled


def _tell(unknown: Unknown, cause: Cause, actor: Authority) -> None:
    noting.moved(unknown.order_id, unknown.what, unknown.amount_sat, cause=cause, actor=actor)


def _catch_up(order_id: UUID, unknown: Unknown, node: LndNode, actor: Authority) -> bool:
    _look_again(order_id, node)
    order = queries.order_or_raise(order_id)
    if order.state == OrderState.GIVE_UP:
        try:
            giving_up.retry(order_id, actor=actor, is_there=True)
        except OrderError as error:
            log.warning("order=%s has a channel, and cannot be retried: %s", order_id, error)
    if order.state == OrderState.PAID and unknown.peer_pubkey:
        try:
            claiming.claim(order_id, NodeAddress(unknown.peer_pubkey), announced=None, actor=actor)
        except OrderError as error:
            log.warning("order=%s cannot be claimed for the node of its channel: %s", order_id, error)
    _look_again(order_id, node)
    return ChannelOpening.objects.filter(order=order_id, transaction__txid=unknown.what.partition(":")[0]).exists()


def _look_again(order_id: UUID, node: LndNode) -> None:
    """What the node has of it is adopted, which is known to be there. Then it is looked at as always."""
    nudge_all([order_id])
    with locks.only_one(locks.order(order_id)) as obtained:
        order = queries.order_or_raise(order_id)
        if obtained and order.state == OrderState.URI_SET and order.live_opening is None:
            opening.adopt_traced(order, node)
    advance(order_id, node=node)


def suspicions(node: LndNode) -> list[Unknown]:
    """What of orders the node has that our records do not know, and that staff have not been told of.

    Raises: NodeUnavailable.
    """
    pending = node.pending_invoices(after_add_index=_since_index())
    payments = (unknown for unknown in _invoices(pending) if unknown.kind is Kind.PAYMENT)
    return [unknown for unknown in (*_channels(node), *payments) if not _is_told(unknown)]


def _since_index() -> int:
    """After it all was added that our records may have lost: an invoice of a day's blocks before the newest order.

    The node may have a million older ones, and reads them one by one.
    """
    newest = ChannelOrder.objects.aggregate(height=Max("created_height"))["height"]
    if newest is None:
        return 0
    before = ChannelOrder.objects.filter(created_height__lt=newest - _DAY_BLOCKS, hold_invoice__add_index__gt=0)
    return before.order_by("-created_height").values_list("hold_invoice__add_index", flat=True).first() or 0


def _name(unknown: Unknown) -> str:
    return f"{unknown.kind} {unknown.what[:8]}"


def _is_told(unknown: Unknown) -> bool:
    """All pauses were made for it: a process may have died between them.

    The newest switch is put off first, so one that is newer than all that were did not exist when it was told.
    """
    told = SwitchEvent.objects.filter(cause=PauseCause.BEHIND, named__contains=[_name(unknown)])
    names = set(told.values_list("name", flat=True))
    there = dropwhile(lambda name: name not in names, reversed(SwitchName))
    return bool(names) and all(name in names or queries.paused(name) is not None for name in there)


def pause_if_behind(node: LndNode) -> bool:
    """Sales and openings are paused where the node knows more than we do; asked once by each process that starts.

    Repeat: safe; what staff paused with another reason stays so.
    """
    strange = suspicions(node)[:_MOST_NAMED]
    if not strange:
        return False
    for unknown in strange:
        log.error(
            "order=%s the node has a %s of it that this database does not know: paused, run `manage.py recover`",
            unknown.order_id,
            f"{unknown.kind} {unknown.what}",
        )
    named = [_name(unknown) for unknown in strange]
    reason = f"{_REASON} ({', '.join(named)})"
    for name in reversed(SwitchName):  # as `_is_told` reads it
        pausing.pause_behind(name, reason=reason, named=named, actor=LSP)
    return True


@actors.open_to(actors.Kind.COMMAND)
def resume(*, actor: Authority) -> list[SwitchName]:
    """What was paused because our records were behind goes on; returns what staff have paused besides."""
    return [name for name in SwitchName if not pausing.resume_behind(name, actor=actor)]
