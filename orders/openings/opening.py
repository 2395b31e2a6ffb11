"""One attempt to open an order's channel, up to the point of no return.

Each rule here stands for a loss that was seen on a real node: see docs/design/opening.md.
"""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone

from lightning.errors import InsufficientFunds, NotFound, OutcomeUnknown, PeerOffline, Rejected
from lightning.node import LndNode, Negotiation
from orders import locks, marks, queries
from orders.flags import flag
from orders.locks import Lock
from orders.models import ChannelOpening, ChannelOrder, SwitchName
from orders.openings import adopting, cancelling, committing, funding, terms, tracing
from orders.openings.reasons import OPENINGS_PAUSED, Broken, reason_of
from orders.openings.retrying import postpone
from orders.openings.terms import Terms
from orders.payments import security
from orders.states import OrderState
from orders.transitions import locked, note

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 15
NEGOTIATE_SECONDS: Final = 30


def attempt(order_id: UUID, node: LndNode) -> None:
    """One attempt was made: the order is OPENING, or the attempt is cancelled, or it waits for a later look.

    Money: a held payment stays held whatever happens here; nothing is signed that could be published before
    the channel is known to the node.
    Repeat: safe; a trace of an earlier attempt is adopted, never opened beside.
    Raises: NodeUnavailable, OutcomeUnknown (the next look recovers).
    """
    order = queries.order_or_raise(order_id)
    trace = tracing.find_trace(order, node)
    if trace is not None:
        adopting.adopt(order_id, trace, node)
        return
    rail = security.counted(order)
    obstacle = rail.obstacle(order) if rail else ""
    if obstacle:
        flag(order_id, obstacle)
        return
    payment = security.look(order, node)
    if payment.spare_blocks is None and security.sent_back(order, node):
        flag(order_id, "The wallet has sent this order's money back: it is not opened.")
        return
    if not payment.secured or not security.has_spare(payment):
        return  # `advance` returns what is lost and waits for what may come back
    wanted = terms.of(order)
    if not _ready(order_id, wanted, node):
        return
    opening = _intend(order_id, wanted)
    if opening is None:
        return
    _run(opening, node)


def _ready(order_id: UUID, wanted: Terms, node: LndNode) -> bool:
    paused = queries.paused(SwitchName.OPENINGS)
    if paused is not None:
        postpone(order_id, OPENINGS_PAUSED, paused.reason)
        return False
    # Peers that stall must not hold every thread.
    if queries.openings_under_way(timezone.now()) >= settings.PARALLEL_OPENINGS:
        postpone(order_id, "LSP_BUSY", "Other channels are being opened.")
        return False
    coins = node.coins(min_confirmations=settings.FUNDING_MIN_CONFS)
    if sum(coin.amount_sat for coin in coins) <= wanted.capacity_sat:  # don't trouble the peer for nothing
        postpone(order_id, "INSUFFICIENT_FUNDS", "The node has not enough deep coins.")
        return False
    if queries.peer_is_taken(wanted.node.pubkey):
        postpone(order_id, "PEER_BUSY", "Another order of this node is being opened.")
        return False
    try:
        node.connect(wanted.node, timeout_seconds=CONNECT_SECONDS)
    except PeerOffline as error:
        postpone(order_id, error.reason or "PEER_NOT_REACHABLE", str(error))
        return False
    return True


def _intend(order_id: UUID, wanted: Terms) -> ChannelOpening | None:
    """The attempt is recorded before the node hears of it; None where that may not be (any more)."""
    try:
        with locked(order_id) as order:
            if not _may_begin(order, wanted):
                return None
            locks.hold(Lock.BEGINNINGS)
            if queries.openings_under_way(timezone.now()) >= settings.PARALLEL_OPENINGS:
                order.last_failure_reason = "LSP_BUSY"
                order.due_at = timezone.now() + timedelta(seconds=settings.RETRY_FIRST_SECONDS)
                return None
            opening = _record_begun(order, wanted)
            note(order, "opening_begun", attempt=opening.attempt, node=opening.node_pubkey)
            return opening
    except IntegrityError:  # another order of this peer was quicker
        postpone(order_id, "PEER_BUSY", "Another order of this node is being opened.")
        return None


def _record_begun(order: ChannelOrder, wanted: Terms) -> ChannelOpening:
    now = timezone.now()
    return ChannelOpening.objects.create(
        order=order,
        attempt=order.openings.count() + 1,
        created_at=now,
        changed_at=now,
        pending_chan_id=secrets.token_bytes(32),
        node_pubkey=wanted.node.pubkey,
        node_host=wanted.node.host,
        announced=wanted.announced,
        capacity_sat=wanted.capacity_sat,
        push_sat=wanted.push_sat,
    )


def _may_begin(order: ChannelOrder, wanted: Terms) -> bool:
    """Order, attempt and payment together, tested under the lock. The claim may have changed since we were ready."""
    if order.state != OrderState.URI_SET or order.live_opening is not None or terms.of(order) != wanted:
        return False
    if queries.paused(SwitchName.OPENINGS) is not None:  # since we were ready: reaching a peer takes a while
        return False
    return not security.insecurity(order)


def _run(opening: ChannelOpening, node: LndNode) -> None:
    order_id = opening.order_id
    negotiation: Negotiation | None = None
    try:
        negotiation = node.open_channel(
            pubkey=opening.node_pubkey,
            pending_chan_id=bytes(opening.pending_chan_id),
            capacity_sat=opening.capacity_sat,
            push_sat=opening.push_sat,
            private=not opening.announced,
            memo=marks.channel_memo(order_id),
        )
        funding.fund(order_id, opening, negotiation.funding_request(timeout_seconds=NEGOTIATE_SECONDS), node)
        opening.refresh_from_db()
        committing.verify(opening, negotiation, node)
        committing.commit(order_id, node)
    except (Rejected, PeerOffline, InsufficientFunds, NotFound, Broken) as error:
        cancelling.cancel(order_id, node, reason=reason_of(error), detail=str(error), only=opening.pk)
    except OutcomeUnknown as error:
        _remember(order_id, opening.pk, reason_of(error), str(error))
        raise
    finally:
        if negotiation is not None:
            negotiation.close()


def resume(order_id: UUID, opening_id: int, node: LndNode) -> None:
    """A FUNDED attempt whose channel is pending goes on where it was left.

    Raises: NodeUnavailable, OutcomeUnknown.
    """
    try:
        committing.commit(order_id, node)
    except (Rejected, PeerOffline, InsufficientFunds, NotFound, Broken) as error:
        cancelling.cancel(order_id, node, reason=reason_of(error), detail=str(error), only=opening_id)


def _remember(order_id: UUID, opening_id: int, reason: str, detail: str) -> None:
    """Why the attempt fell silent, for whoever finds it."""
    log.warning("order=%s an attempt ended with an unknown outcome: %s", order_id, detail)
    with locked(order_id) as order:
        opening = order.live_opening
        if opening is not None and opening.pk == opening_id:
            opening.failure_reason, opening.failure_detail = reason, detail[:300]
            opening.save()
            note(order, "opening_silent", attempt=opening.attempt, reason=reason)
