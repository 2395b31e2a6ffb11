"""The correctness of it all: every minute the node is read in bulk, compared with our rows, and orders are nudged."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Min
from django.utils import timezone
from django_q.tasks import async_task

from lightning import connection as lightning
from lightning import types
from lightning.errors import LightningError
from lightning.node import LndNode
from orders import queries, recovering
from orders.errors import NotAvailable
from orders.models import ChannelOpening, ChannelOrder, Heartbeat, HoldInvoice, NodeSnapshot
from orders.nudges import nudge_all
from orders.operations import creating, deposits, failing
from orders.operations.seeing import fresh_snapshot, refresh_snapshot
from orders.operations.tracing import LOOK_BACK_BLOCKS, as_the_chain_has_it
from orders.states import InvoiceState, OpeningState, OrderState

__all__ = ["Pass", "beat", "fresh_snapshot", "look", "new_block", "reconcile", "refresh_snapshot"]

log = logging.getLogger(__name__)

_FOLLOWED = frozenset({OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING})
_INVOICE_STATES = {
    InvoiceState.OPEN: types.InvoiceState.OPEN,
    InvoiceState.HELD: types.InvoiceState.ACCEPTED,
}


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did."""

    node_reached: bool
    nudged: int
    queued: int


def reconcile() -> Pass:
    """The node was looked at in bulk, and every order that is due has a task of its own in the queue.

    One slow peer never stops the others. Repeat: safe, beside itself too.
    """
    nudged, reached = 0, True
    try:
        nudged = look(lightning.node())
    except (LightningError, NotAvailable) as error:
        reached = False
        log.warning("reconcile: the node cannot be read: %s", error)
    except Exception:  # a defect in the bulk look must not keep due orders from their turn
        reached = False
        log.exception("reconcile: the bulk look failed")
    due = queries.due_ids(timezone.now())
    for order_id in due:
        async_task("orders.tasks.advance_order", str(order_id), group="advance")
    creating.forget_old_keys()
    beat("reconcile", f"nudged={nudged} queued={len(due)} node={'up' if reached else 'down'}")
    return Pass(reached, nudged, len(due))


def look(node: LndNode) -> int:
    """Snapshot, deposits, invoices and channels are compared with our rows; returns how many orders were nudged.

    Repeat: safe. Raises: NotAvailable, NodeUnavailable.
    """
    seen = refresh_snapshot(node)
    _ask_once_whether_we_are_behind(node)
    read_deposits(node, seen)
    different = {*_invoices_that_differ(node), *_channels_that_differ(node), *_holds_running_out(seen)}
    return nudge_all(different)


_asked: set[tuple[int, datetime]] = set()


def _ask_once_whether_we_are_behind(node: LndNode) -> None:
    """Each process asks whether the database was put back, for each PostgreSQL that it finds itself at.

    By process, since a fork inherits the answer. By server, since a standby takes over under running processes.
    """
    if not settings.PAUSE_IF_BEHIND:
        return
    asking = (os.getpid(), queries.database_started_at())
    if asking not in _asked:
        recovering.pause_if_behind(node)
        _asked.add(asking)


def read_deposits(node: LndNode, seen: NodeSnapshot) -> None:
    """Every deposit the node knows has its row as the chain is now; one that is gone has vanished.

    Money: seen from the last height read, minus what a reorganisation may take back.
    """
    at, height = timezone.now(), node.info().block_height
    from_height = max(0, (seen.deposits_height or _first_height(height)) - LOOK_BACK_BLOCKS)
    known = deposits.known_since(from_height)  # before the look: what is recorded meanwhile has not vanished
    paying = deposits.relevant(node.transactions(from_height=from_height))
    transactions = [as_the_chain_has_it(node, transaction) for transaction in paying]
    whole = deposits.record(transactions)
    deposits.forget(known, transactions)
    # What could not be recorded is read again: the height stays.
    NodeSnapshot.objects.filter(id=1).update(deposits_at=at, **({"deposits_height": height} if whole else {}))


def _first_height(height: int) -> int:
    oldest = ChannelOrder.objects.aggregate(height=Min("created_height"))["height"]
    return int(oldest) if oldest is not None else height


def _invoices_that_differ(node: LndNode) -> set[UUID]:
    rows = HoldInvoice.objects.filter(state__in=_INVOICE_STATES).values_list(
        "order_id", "payment_hash", "state", "add_index"
    )
    if not rows:
        return set()
    first = min(add_index for _, _, _, add_index in rows)
    pending = node.pending_invoices(after_add_index=max(0, first - 1))
    states = {invoice.payment_hash: invoice.state for invoice in pending}
    return {
        order_id
        for order_id, payment_hash, state, _ in rows
        if states.get(payment_hash) is not _INVOICE_STATES[InvoiceState(state)]
    }


def _channels_that_differ(node: LndNode) -> set[UUID]:
    """Orders whose channel is elsewhere than they say. Whatever is still opening is looked at each minute anyway."""
    rows = ChannelOpening.objects.filter(
        order__state__in=_FOLLOWED, state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED]
    )
    expected = {
        f"{txid}:{index}": (order_id, state)
        for order_id, state, txid, index in rows.values_list(
            "order_id", "order__state", "transaction__txid", "output_index"
        )
    }
    if not expected:
        return set()
    there = {str(channel.outpoint): OrderState.OPEN if channel.active else None for channel in node.channels()}
    there |= {str(pending.outpoint): _state_of(pending) for pending in node.pending_channels()}
    return {
        order_id
        for outpoint, (order_id, state) in expected.items()
        if _differs(state, there.get(outpoint, OrderState.CLOSED))
    }


def _state_of(pending: types.PendingChannel) -> OrderState:
    return OrderState.OPENING if pending.phase is types.PendingPhase.OPENING else OrderState.CLOSING


def _differs(state: str, seen: OrderState | None) -> bool:
    """None: open and not active, which says nothing new of an order that is OPENING or OPEN."""
    return seen is not None and seen != state


def _holds_running_out(seen: NodeSnapshot) -> set[UUID]:
    """Held payments whose margin is gone while nothing is being opened for them."""
    last = seen.block_height + settings.PUBLISH_MARGIN_BLOCKS + settings.SPARE_BLOCKS
    rows = HoldInvoice.objects.filter(state=InvoiceState.HELD, hold_expires_height__lt=last)
    return set(rows.values_list("order_id", flat=True))


def new_block(node: LndNode) -> int:
    """A block came: what it can change is nudged, the rest is left alone."""
    nudged = look(node)
    waiting = ChannelOrder.objects.filter(
        state=OrderState.URI_SET, last_failure_reason__in=failing.ENDED_BY_A_BLOCK
    ).values_list("pk", flat=True)
    live = ChannelOpening.objects.filter(
        state__in=[OpeningState.PUBLISHING, OpeningState.PUBLISHED, OpeningState.CONFLICTING]
    ).values_list("order_id", flat=True)
    return nudged + nudge_all({*waiting, *live, *_unpaid_with_deposits()})


def _unpaid_with_deposits() -> Iterable[UUID]:
    rows = ChannelOrder.objects.filter(state=OrderState.CREATED, onchain_payments__isnull=False)
    return rows.values_list("pk", flat=True).distinct()


def beat(name: str, detail: str = "") -> None:
    """The process has finished its round."""
    Heartbeat.objects.update_or_create(name=name, defaults={"at": timezone.now(), "detail": detail[:200]})
