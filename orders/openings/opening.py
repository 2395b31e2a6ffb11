"""One attempt to open an order's channel, up to the point of no return.

Each rule here stands for a loss that was seen on a real node: see docs/design/opening.md.
"""

from __future__ import annotations

import logging
import secrets
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone

from lightning.errors import (
    InsufficientFunds,
    LightningError,
    NodeUnavailable,
    NotFound,
    OutcomeUnknown,
    PeerOffline,
    Rejected,
)
from lightning.node import LndNode, Negotiation
from orders import ceilings, locks, marks, queries
from orders.admission import placing
from orders.causes import COINS_PROMISED_ELSEWHERE, Cause, FlagKind
from orders.errors import NotAvailable
from orders.flags import flag
from orders.locks import Lock
from orders.models import ChannelOpening, ChannelOrder, SwitchName
from orders.nudges import nudge
from orders.openings import (
    adopting,
    cancelling,
    committing,
    dry_runs,
    finding,
    funding,
    terms,
    tracing,
    turns,
    zero_conf,
)
from orders.openings.reasons import (
    LOSES_ITS_PLACE,
    OPENINGS_PAUSED,
    PAYMENT_NOT_SECURED,
    Broken,
    known,
    reason_of,
)
from orders.openings.retrying import postpone, put_off
from orders.openings.terms import Terms
from orders.openings.turns import Turn
from orders.payments import security, surplus
from orders.payments.lightning import passing
from orders.payments.rail import Security
from orders.states import OpeningState, OrderState
from orders.transitions import begin_opening, locked, note

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 15
NEGOTIATE_SECONDS: Final = 30
_OTHERS: Final = "Other channels are being opened."


def attempt(order: ChannelOrder, node: LndNode, turn: Turn = turns.HERE, payment: Security | None = None) -> None:
    """One attempt was made: the order is OPENING, or the attempt is cancelled, or it waits for a later look.

    `order`, `payment`: as the same look has just read them. What has changed since is seen under the order's lock
    before anything begins, and the payment is asked for again before the funding is published.
    Nothing before `turn` was entered waits for anybody but our own node.

    Money: a held payment stays held whatever happens here; nothing is signed that could be published before
    the channel is known to the node.
    Repeat: safe; a trace of an earlier attempt is adopted, never opened beside.
    Raises: NodeUnavailable, OutcomeUnknown (the next look recovers), Elsewhere (another look is to make it).
    """
    order_id, wanted = order.pk, terms.of(order)
    if _still_waits(order):
        return
    paused = queries.paused(SwitchName.OPENINGS)  # once: who did not enter the turn must not find them on again
    away = None if paused else _away(order, node, turn)
    if away is not None and reason_of(away) == order.last_failure_reason:
        postpone(order_id, reason_of(away), str(away), wanted=wanted)
        return
    if adopt_traced(order, node, quickly=True) or not _payable(order, payment or security.look(order, node), node):
        return
    if paused is not None:
        postpone(order_id, OPENINGS_PAUSED, paused.reason)
        return
    if not _ready(order, wanted, node, turn, away):
        return
    opening = _intend(order_id, wanted, reached=not _has_failed(order))  # what has, stays so
    if opening is None:
        placing.end_hopeless_quotes()
        return
    _run(opening, node, turn)


def _payable(order: ChannelOrder, payment: Security, node: LndNode) -> bool:
    """The payment is there for us to take; else the order says why not. `advance` returns what is lost."""
    why = security.obstacle(order)
    if why:
        flag(order.pk, FlagKind.CANNOT_SETTLE, why)
    elif payment.spare_blocks is None and security.sent_back(order, node):
        why = "The wallet has sent this order's money back: it is not opened."
        flag(order.pk, FlagKind.SENT_BACK, why)
    elif not payment.secured or not security.has_spare(payment):
        why = payment.reason
    if why:
        postpone(order.pk, PAYMENT_NOT_SECURED, why)
    return not why


def adopt_traced(order: ChannelOrder, node: LndNode, *, quickly: bool = False) -> bool:
    """Whether the node has a channel or funding of the claimed order that no attempt of ours explains: it is adopted.

    Asked before anything new is begun, and before the order is given up. `quickly`: as `tracing.find_trace`.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    trace = tracing.find_trace(order, node, quickly=quickly)
    if trace is not None:
        adopting.adopt(order.pk, trace, node)
    return trace is not None


def _still_waits(order: ChannelOrder) -> bool:
    """The order waited for other openings, and still does: our own records say so, and the node is not asked.

    It was asked when the waiting began, and is again before the attempt. Staff's pause is none of these: under it our
    records may be older than the truth.
    """
    if order.last_failure_reason not in {"LSP_BUSY", "PEER_BUSY"}:
        return False
    busy = _busy(order)
    if busy is not None:
        postpone(order.pk, *busy)
    return busy is not None


def _away(order: ChannelOrder, node: LndNode, turn: Turn) -> LightningError | None:
    """Why its node was not reached; None: it was. Raises: Elsewhere.

    Asked before our own node is asked anything: strangers' orders that wait for a turn, or for a host that swallows
    packets, would keep it busy. What the node has of an order is looked for when such waiting begins, and when it ends.
    """
    try:
        turn.enter(order, node)
    except (PeerOffline, Rejected) as error:
        return error
    return None


def _busy(order: ChannelOrder) -> tuple[str, str] | None:
    """Why other openings come first: (reason, detail)."""
    if not _has_room(order):
        return "LSP_BUSY", _OTHERS
    if queries.peer_is_taken(order.node_pubkey):
        return "PEER_BUSY", "Another order of this node is being opened."
    return None


def _has_room(order: ChannelOrder) -> bool:
    """One more may begin, whoever else begins one: peers that stall must not hold every place, nor one client all."""
    now = timezone.now()
    if order.is_jit and queries.carrying(now) >= turns.most_carrying(settings.PARALLEL_OPENINGS):
        return False
    under_way, of_client = queries.openings_under_way(now, order.client_hash)
    most = turns.limits(settings.PARALLEL_OPENINGS)
    return most.admit(under_way=under_way, of_client=of_client, is_first=turns.is_first(order))


def _ready(order: ChannelOrder, wanted: Terms, node: LndNode, turn: Turn, away: LightningError | None) -> bool:
    order_id = order.pk
    if away is not None:
        postpone(order_id, reason_of(away), str(away), wanted=wanted)
        return False
    busy = _busy(order)
    if busy is not None:
        postpone(order_id, *busy)
        return False
    why = funding.obstacle(order, wanted.capacity_sat, node)
    if why is not None:  # don't trouble the peer for nothing
        if why == funding.COINS_LEASED:
            turn.wait_for_coins(order)
        postpone(order_id, *why)
        return False
    try:
        seconds = min(CONNECT_SECONDS, turn.connect_seconds)
        if not turn.is_there(wanted.node.pubkey):
            finding.connect(wanted.node, node, tries=order.failed_openings, timeout_seconds=seconds)
    except (PeerOffline, Rejected) as error:  # Rejected: our own key
        postpone(order_id, reason_of(error), str(error), wanted=wanted)
        return False
    if order.is_jit and (why_not := zero_conf.lack(wanted, node)):  # no other channel would be there in time
        postpone(order_id, "FEATURE_MISSING", why_not, wanted=wanted)
        return False
    return not (wanted.zero_conf and zero_conf.left_out(order_id, wanted, node))


def _has_failed(order: ChannelOrder) -> bool:
    """The claimed node has ended an attempt, and not because of how it was to be: that it answers says little."""
    return any(
        row.state == OpeningState.FAILED
        and row.failure_reason in LOSES_ITS_PLACE
        and (order.claimed_at is None or row.created_at >= order.claimed_at)
        and not (row.announced and row.node_pubkey == order.announce_refused_by)
        and not (row.zero_conf and row.node_pubkey == order.zero_conf_refused_by)
        for row in order.openings.all()
    )


def _intend(order_id: UUID, wanted: Terms, *, reached: bool = False) -> ChannelOpening | None:
    """The attempt is recorded before the node hears of it; None where that may not be (any more).

    `reached`: the claimed node answers, so the order has its coins for good, whether or not the attempt begins; unless
    another order of this peer was quicker.
    """
    try:
        with locked(order_id) as order:
            grown = terms.grown(wanted, surplus.to_add_sat(order))
            if not _may_begin(order, wanted) or not _has_its_coins(order, reached=reached):
                return None
            locks.hold(Lock.BEGINNINGS)
            if not _has_room(order):
                put_off(order, "LSP_BUSY", _OTHERS)
                return None
            if _is_beyond(order):  # the next look says what follows
                put_off(order, "LSP_BUSY", "Other channels of this node are being opened, and it may have no more.")
                return None
            opening = _record_begun(order, grown)
            more_sat = opening.surplus_sat or None
            note(order, Cause.OPENING_BEGUN, attempt=opening.attempt, node=opening.node_pubkey, surplus_sat=more_sat)
            return opening
    except IntegrityError:  # another order of this peer was quicker
        postpone(order_id, "PEER_BUSY", "Another order of this node is being opened.")
        return None


def _is_beyond(order: ChannelOrder) -> bool:
    """Its node would have more than one node may, or no rate tells; whoever else begins an attempt waits."""
    try:
        return ceilings.is_over(order)
    except NotAvailable:
        return True


def _record_begun(order: ChannelOrder, wanted: Terms) -> ChannelOpening:
    now = timezone.now()
    return begin_opening(
        order,
        created_at=now,
        changed_at=now,
        pending_chan_id=secrets.token_bytes(32),
        node_pubkey=wanted.node.pubkey,
        node_host=wanted.node.host,
        announced=wanted.announced,
        zero_conf=wanted.zero_conf,
        capacity_sat=wanted.capacity_sat,
        push_sat=wanted.push_sat,
        surplus_sat=wanted.surplus_sat,
    )


def _may_begin(order: ChannelOrder, wanted: Terms) -> bool:
    """Order, attempt and payment together, tested under the lock; what has changed by itself leaves its reason."""
    if order.state != OrderState.URI_SET or order.live_opening is not None:
        return False  # somebody has moved it
    if terms.of(order) != wanted:
        nudge(order)  # at once, with what is asked for now
        return False
    paused = queries.paused(SwitchName.OPENINGS)
    if paused is not None:  # since we were ready: reaching a peer takes a while
        put_off(order, OPENINGS_PAUSED, paused.reason)
        return False
    insecurity = security.insecurity(order)
    if insecurity:
        put_off(order, PAYMENT_NOT_SECURED, insecurity)
        return False
    return True


def _has_its_coins(order: ChannelOrder, *, reached: bool) -> bool:
    """The coins are promised to the order; False: others have them as firmly, and it says so."""
    if reached:
        placing.counting()
    if (reached and not placing.reach(order)) or not placing.may_begin(order):
        put_off(order, COINS_PROMISED_ELSEWHERE, "Our coins are promised to others.")
        return False
    return True


def _run(opening: ChannelOpening, node: LndNode, turn: Turn = turns.HERE) -> None:
    order_id, order = opening.order_id, opening.order
    negotiation: Negotiation | None = None
    dry_runs.give_way(opening.node_pubkey, node)
    try:
        negotiation = node.open_channel(
            pubkey=opening.node_pubkey,
            pending_chan_id=bytes(opening.pending_chan_id),
            capacity_sat=opening.capacity_sat,
            push_sat=opening.push_sat,
            private=not opening.announced,
            memo=marks.channel_memo(order_id),
            zero_conf=opening.zero_conf,
            free=order.is_jit,
        )
        placing.end_hopeless_quotes()  # as the coins are promised: only now, while the peer has its part to do
        with turn.waiting(negotiation):
            request = negotiation.funding_request(timeout_seconds=NEGOTIATE_SECONDS)
        funding.fund(order_id, opening, request, node)
        opening.refresh_from_db()
        if opening.zero_conf:
            committing.promise(order_id, opening.pk, node)
        with turn.waiting(negotiation):
            committing.verify(opening, negotiation, node)
        if passing.trusts_us(order):
            return  # the look that follows sees whether it is usable, and lets its payment go on over it
        if not opening.zero_conf:
            committing.commit(order_id, node)
        elif not committing.keep(order_id, opening.pk, node):
            raise OutcomeUnknown("The node does not know the channel.")
    except (Rejected, PeerOffline, InsufficientFunds, NotFound, Broken) as error:
        cancelling.cancel(order_id, node, reason=reason_of(error), detail=str(error), only=opening.pk)
    except (OutcomeUnknown, NodeUnavailable) as error:
        _remember(order_id, opening.pk, known(reason_of(error)), str(error))
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
            note(order, Cause.OPENING_SILENT, attempt=opening.attempt, reason=reason)
