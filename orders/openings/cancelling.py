"""An attempt is over, and nothing of it is left: no channel, no lease."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import IntegrityError

from lightning.errors import LightningError, OutcomeUnknown, PeerOffline
from lightning.node import LndNode
from lightning.types import Channel, NodeAddress, Outpoint, PendingChannel
from orders import marks, queries
from orders.actors import LSP
from orders.causes import Cause
from orders.models import ChannelOpening, ChannelOrder, WalletTransaction
from orders.nudges import nudge_all
from orders.openings import tracing, undone
from orders.openings.reasons import known
from orders.openings.retrying import after_attempt, after_failure, mark_given_up
from orders.payments import security
from orders.states import OpeningState, OrderState
from orders.transitions import locked, move, move_opening, note
from orders.wallet import coins
from orders.wallet import transaction as machine

log = logging.getLogger(__name__)


def cancel(order_id: UUID, node: LndNode, *, reason: str, detail: str = "", only: int | None = None) -> None:
    """The live attempt, nothing of which was published, is FAILED, and the order knows what follows.

    `only`: the attempt that is meant; a process that slept must not cancel its successor.
    Money: a held payment stays held. Repeat: safe.
    Raises: NodeUnavailable, OutcomeUnknown (a later look goes on).
    """
    if begin(order_id, reason=reason, detail=detail, only=only):
        finish(order_id, node)


def begin(
    order_id: UUID, *, reason: str, detail: str = "", conflict_is_deep: bool = False, only: int | None = None
) -> bool:
    """CANCELLING is recorded; False where the attempt may still deliver, or there is none.

    After the point of no return only a conflicting spend 6 deep (`conflict_is_deep`) ends an attempt.
    """
    try:
        with locked(order_id) as order:
            opening = order.live_opening
            if opening is None or only not in {None, opening.pk}:
                return False
            if opening.state == OpeningState.CANCELLING:
                return True
            if opening.state not in {OpeningState.NEGOTIATING, OpeningState.FUNDED} and not conflict_is_deep:
                return False
            reason, detail = opening.failure_reason or known(reason), (detail or opening.failure_detail)[:300]
            move_opening(order, opening, OpeningState.CANCELLING, failure_reason=reason, failure_detail=detail)
            note(order, Cause.OPENING_CANCELLING, attempt=opening.attempt, reason=reason, detail=detail)
    except IntegrityError:  # another order is opening to this peer, which we are about to disconnect: later
        return False
    return True


def finish(order_id: UUID, node: LndNode) -> None:
    """What CANCELLING was recorded for is done: shim, channel and leases are gone, the attempt is FAILED.

    psbt_verify may have left a channel that shim_cancel does not touch, and that a slow peer completes minutes
    later: so the peer is disconnected before we look, and connected again afterwards (LND forgets to).
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    with locked(order_id) as order:
        opening = order.live_opening
        if opening is None or opening.state != OpeningState.CANCELLING:
            return
    if order.state in {OrderState.URI_SET, OrderState.OPENING} and tracing.is_behind(order, opening, node):
        # Our records are older than the truth: nothing is abandoned or freed; the next attempt's look adopts it.
        _record_failed(order_id, opening.pk, still_secured=security.look(order, node).secured)
        return
    node.cancel_shim(bytes(opening.pending_chan_id))
    if opening.transaction is not None:  # before FUNDED is recorded nothing was verified: no channel can come of it
        _disconnected(opening, node)
    if not order.openings.filter(pk=opening.pk, state=OpeningState.CANCELLING).exists():
        return  # we slept, and somebody has ended it: what is leased now is the next attempt's
    coins.release(marks.lock_id(order_id), node)
    if _left_behind(opening, node) or coins.held(marks.lock_id(order_id), node):
        raise OutcomeUnknown("The node said that it was done, and it was not.")  # CANCELLING stays: again, later
    still_secured = security.look(order, node).secured
    _record_failed(order_id, opening.pk, still_secured=still_secured)


def _disconnected(opening: ChannelOpening, node: LndNode) -> None:
    """The peer has dropped what it was about to complete, our side of it is abandoned, and the peer is back."""
    address, was_there = _address_of(opening, node)
    node.disconnect(opening.node_pubkey)
    for outpoint in _left_behind(opening, node):
        node.abandon_channel(outpoint)
    try:
        node.connect(address, timeout_seconds=5, was_there=was_there)
    except PeerOffline:
        pass  # it comes back by itself, or the next attempt finds it
    except LightningError as error:
        log.info("order=%s the peer is not connected again: %s", opening.order_id, error)


def _address_of(opening: ChannelOpening, node: LndNode) -> tuple[NodeAddress, bool]:
    """Where the peer is reached now, or the buyer's word, and whether our node has dialled it there by itself.

    A buyer's word must not send somebody else's peer to another address.
    """
    for peer in node.peers():
        if peer.pubkey == opening.node_pubkey and not peer.inbound:
            return NodeAddress(peer.pubkey, peer.address), True
    return NodeAddress(opening.node_pubkey, opening.node_host), False


def _left_behind(opening: ChannelOpening, node: LndNode) -> set[Outpoint]:
    """This attempt's own channel, if there is one. What only the memo names is another attempt's, maybe delivered."""
    ours = opening.funding_outpoint
    everything: list[Channel | PendingChannel] = [*node.channels(), *node.pending_channels()]
    return {channel.outpoint for channel in everything if str(channel.outpoint) == ours}


def _record_failed(order_id: UUID, opening_id: int, *, still_secured: bool) -> None:
    with locked(order_id) as order:
        opening = order.openings.get(pk=opening_id)
        if opening.state != OpeningState.CANCELLING:
            return
        move_opening(order, opening, OpeningState.FAILED)
        _write_off(opening)
        note(order, Cause.OPENING_FAILED, attempt=opening.attempt, reason=opening.failure_reason)
        if order.state == OrderState.OPENING:
            _leave_opening(order, opening, still_secured)
        elif order.state == OrderState.URI_SET:
            after_attempt(order, opening)
        else:
            undone.record(order, opening.attempt)
    # Only those that waited for us: two orders of one failing peer would else end each other's pauses for ever.
    nudge_all(set(queries.waiting_for_peer(opening.node_pubkey, reason="PEER_BUSY")) - {order.pk})


def _write_off(opening: ChannelOpening) -> None:
    """The attempt's transaction will never be in the chain, unless another order's channel depends on it still."""
    if opening.transaction is None:
        return
    row = WalletTransaction.objects.select_for_update().get(pk=opening.transaction.pk)  # one of two that end is last
    if not row.openings.exclude(state=OpeningState.FAILED).exists():
        machine.excluded(row)


def _leave_opening(order: ChannelOrder, opening: ChannelOpening, still_secured: bool) -> None:
    """The funding can never confirm: no close is wanted any more, and it tries again where the payment still stands."""
    undone.end_closing(order)
    if not still_secured:
        mark_given_up(order, reason="PAYMENT_NOT_SECURED", actor=LSP)
        return
    move(order, OrderState.URI_SET, cause=Cause.FUNDING_CONFLICTED, attempt=opening.attempt)
    after_failure(order, opening.failure_reason)
