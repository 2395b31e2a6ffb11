"""The correctness of it all: every minute the node is read in bulk, compared with our rows, and orders are nudged."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django_q.tasks import async_task

from lightning import connection as lightning
from lightning import types
from lightning.errors import LightningError
from lightning.node import LndNode
from orders import alive, outage, payments, queries, recovering, reserved
from orders.errors import NotAvailable
from orders.jit import forgetting, gathering
from orders.models import ChannelOpening, ChannelOrder, Heartbeat, Node, NodeSnapshot, Refund
from orders.nudges import FOUND, nudge_all
from orders.openings import dry_runs, reasons
from orders.operations import creating, shaping, shutdown
from orders.operations.snapshot import fresh_snapshot, refresh_snapshot, remember_balances, remember_coins_aside
from orders.payments import offering
from orders.states import LIVE_OPENINGS, OpeningState, OrderState, RefundState
from orders.waking import telling

__all__ = ["Pass", "beat", "fresh_snapshot", "look", "new_block", "reconcile", "refresh_snapshot"]

log = logging.getLogger(__name__)

_FOLLOWED = frozenset({OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING})
#: Where the channel of an order in this state is, once it is not under way any more.
_MOVED_ON: Final[dict[str, OrderState]] = {OrderState.OPENING: OrderState.OPEN, OrderState.CLOSING: OrderState.CLOSED}
#: How often all channels are listed at least.
_ALL_CHANNELS_SECONDS: Final = 600.0
#: LND takes no close for final before it is three blocks deep: who has looked one block ago has missed none.
_MOST_UNSEEN_BLOCKS: Final = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did."""

    node_reached: bool
    nudged: int
    queued: int


def reconcile() -> Pass:
    """The node was looked at in bulk, and every order that is due has a task of its own in the queue.

    One slow peer never stops the others. While the node is away nothing is queued. Repeat: safe, beside itself too.
    """
    nudged, reached, node = 0, True, lightning.node()
    all_at = listed.all_at
    try:
        nudged = look(node)
        shaping.go_on(node)
        dry_runs.end_forgotten(node)
        if listed.all_at != all_at:  # the wallet may have as many coins as the node has channels
            remember_coins_aside(node)
    except (LightningError, NotAvailable) as error:
        reached = False
        if not outage.of_node().explains(node):
            log.warning("reconcile: the node cannot be read: %s", error)
    except Exception:  # a defect in the bulk look must not keep due orders from their turn
        reached = False
        log.exception("reconcile: the bulk look failed")
    # While the node is away each task would only find that out for itself.
    due = [] if outage.of_node().lasts(node) else queries.due_ids(timezone.now())
    for order_id in due:
        async_task("orders.tasks.advance_order", str(order_id), group="advance")
    creating.forget_old_keys()
    if settings.LSPS2_ENABLED:
        forgetting.forget()
        gathering.end_waiting()
    reserved.fold()
    reserved.mend_sums()
    beat("reconcile", f"nudged={nudged} queued={len(due)} node={'up' if reached else 'down'}")
    shutdown.end_undone()
    return Pass(reached, nudged, len(due))


def look(node: LndNode) -> int:
    """Snapshot, deposits, invoices and channels are compared with our rows; returns how many orders were nudged.

    What cannot be read hides nothing of the rest. Repeat: safe. Raises: NotAvailable, NodeUnavailable.
    """
    seen = refresh_snapshot(node)
    _ask_once_whether_we_are_behind(node)
    _say_once_what_is_off(node)
    asked: list[Callable[[], Collection[UUID]]] = [
        *(partial(rail.differing, node, seen) for rail in reversed(payments.RAILS.values())),
        partial(_channels_that_differ, node, seen),
        _forgotten,
        queries.giving_way,
    ]
    nudged, trouble = 0, None
    for ask in asked:
        try:
            nudged += nudge_all(set(ask()), FOUND)
        except LightningError as error:
            if outage.of_node().explains(node):
                raise
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    outage.of_node().over()
    return nudged


def _forgotten() -> list[UUID]:
    """Claimed orders, and those with an attempt that lives, always wait for some time to come: what has none was left
    alone by an older version.
    """
    claimed = ChannelOrder.objects.filter(state=OrderState.URI_SET, due_at=None)
    attempts = ChannelOpening.objects.filter(state__in=LIVE_OPENINGS, order__due_at=None)
    return [*claimed.values_list("pk", flat=True), *attempts.values_list("order_id", flat=True)]


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


_said: set[tuple[int, str]] = set()


def _say_once_what_is_off(node: LndNode) -> None:
    """At its start, and when it changes, each process says in its log that nobody is asked to pay on chain, and why."""
    why = offering.why_not_onchain(node) if settings.ONCHAIN_ENABLED else ""
    saying = (os.getpid(), why)
    if saying not in _said:
        _said.clear()
        _said.add(saying)
        if why:
            log.warning("on-chain payments are not offered: %s (`manage.py doctor` says more)", why)


@dataclass
class Listed:
    """When a process has seen the node's channels, for one PostgreSQL each: all of them, and those under way."""

    asking: tuple[int, datetime] | None = None
    all_at: float = 0.0
    at_height: int = 0

    def are_all_due(self, asking: tuple[int, datetime], now: float, height: int) -> bool:
        """At the start, now and then, and where a channel may have come to its end since anybody looked."""
        unseen_blocks = height - self.at_height
        return (
            self.asking != asking
            or now - self.all_at >= _ALL_CHANNELS_SECONDS
            or not 0 <= unseen_blocks <= _MOST_UNSEEN_BLOCKS
        )

    def saw(self, asking: tuple[int, datetime], now: float, height: int, *, all_of_them: bool) -> None:
        """The node was asked at `now`, and had this height before."""
        self.asking, self.at_height = asking, height
        self.all_at = now if all_of_them else self.all_at


listed = Listed()


def _channels_that_differ(node: LndNode, seen: NodeSnapshot) -> set[UUID]:
    """Orders whose channel is elsewhere than they say. Whatever is still opening is looked at each minute anyway.

    LND has a channel that ends among those under way until its close is three blocks deep, and these are few. All of
    them, which may be thousands, are listed at the start, each ten minutes, and after blocks at which nobody looked.
    """
    asking, now = (os.getpid(), queries.database_started_at()), time.monotonic()
    are_all = listed.are_all_due(asking, now, seen.block_height)
    differing = _among_all(node, seen) if are_all else _among_those_under_way(node)
    listed.saw(asking, now, seen.block_height, all_of_them=are_all)
    return differing


def _among_all(node: LndNode, seen: NodeSnapshot) -> set[UUID]:
    channels = node.channels()
    remember_balances(seen, channels)
    telling.look(channels, seen.block_height)
    there = {str(channel.outpoint): OrderState.OPEN if channel.active else None for channel in channels}
    rows = _followed()
    if not rows:
        return set()
    there |= {str(pending.outpoint): _state_of(pending) for pending in node.pending_channels()}
    return {order_id for order_id, state, point in rows if _differs(state, there.get(point, OrderState.CLOSED))}


def _among_those_under_way(node: LndNode) -> set[UUID]:
    """An open order has an open channel where it has none under way; that of one that opens or closes has moved on."""
    if not ChannelOrder.objects.filter(state__in=_FOLLOWED).exists():
        return set()
    pending = node.pending_channels()
    there = {str(each.outpoint): _state_of(each) for each in pending}
    txids = {each.outpoint.txid for each in pending}
    rows = _followed(Q(order__state__in=_MOVED_ON) | Q(transaction__txid__in=txids))
    return {
        order_id
        for order_id, state, point in rows
        if _differs(state, there.get(point, _MOVED_ON.get(OrderState(state))))
    }


def _followed(among: Q = Q()) -> list[tuple[UUID, str, str]]:  # noqa: B008  # empty, and never changed
    """Orders whose channel is followed: id, state and funding outpoint."""
    rows = ChannelOpening.objects.filter(
        among, order__state__in=_FOLLOWED, state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED]
    ).values_list("order_id", "order__state", "transaction__txid", "output_index")
    return [(order_id, state, f"{txid}:{index}") for order_id, state, txid, index in rows]


def _state_of(pending: types.PendingChannel) -> OrderState:
    return OrderState.OPENING if pending.phase is types.PendingPhase.OPENING else OrderState.CLOSING


def _differs(state: str, seen: OrderState | None) -> bool:
    """None: open and not active, which says nothing new of an order that is OPENING or OPEN."""
    return seen is not None and seen != state


def new_block(node: LndNode) -> int:
    """A block came: what it can change is nudged, the rest is left alone."""
    nudged = look(node)
    waiting = ChannelOrder.objects.filter(
        state=OrderState.URI_SET, last_failure_reason__in=reasons.ENDED_BY_A_BLOCK
    ).values_list("pk", flat=True)
    live = ChannelOpening.objects.filter(
        state__in=[OpeningState.PUBLISHING, OpeningState.PUBLISHED, OpeningState.CONFLICTING]
    ).values_list("order_id", flat=True)
    going_back = Refund.objects.filter(state__in=[RefundState.SIGNED, RefundState.PUBLISHED])
    back = going_back.values_list("order_id", flat=True)
    return nudged + nudge_all({*waiting, *live, *back, *_unpaid_with_deposits()}, FOUND)


def _unpaid_with_deposits() -> Iterable[UUID]:
    rows = ChannelOrder.objects.filter(state=OrderState.CREATED, onchain_payments__isnull=False)
    return rows.values_list("pk", flat=True).distinct()


def beat(name: str, detail: str = "", *, node: Node | None = None) -> None:
    """The process has finished its round; `node`: whom it listens to."""
    now = timezone.now()
    row = {"at": now, "detail": detail[:200], "node": node}
    Heartbeat.objects.update_or_create(name=name, defaults=row)
    alive.lives(name, now)


def miss_no_more(name: str) -> None:
    """Nobody is expected to give this heartbeat any more: what it is of was switched off."""
    Heartbeat.objects.filter(name=name).delete()
