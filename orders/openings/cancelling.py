"""An attempt is over, and nothing of it is left: no channel, no lease."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import IntegrityError

from lightning.errors import NotFound, OutcomeUnknown, Rejected
from lightning.node import LndNode
from lightning.types import Outpoint
from orders import marks, queries
from orders.actors import LSP
from orders.causes import Cause, FlagKind
from orders.flags import flag
from orders.models import ChannelOpening, ChannelOrder, WalletTransaction
from orders.nudges import nudge_all
from orders.openings import carrying, committing, tracing, undone
from orders.openings.apart import apart
from orders.openings.reasons import known
from orders.openings.retrying import after_attempt, after_failure, mark_given_up
from orders.payments import security
from orders.payments.lightning import passing
from orders.states import DELIVERED, OpeningState, OrderState
from orders.transitions import locked, move, move_opening, note
from orders.wallet import coins
from orders.wallet import transaction as machine

#: Nothing that could be published was signed for them.
_ENDED: Final = frozenset({OpeningState.NEGOTIATING, OpeningState.FUNDED})
#: Their channel is in use, if there is one: they end at the word of who has seen that none is, or nothing in it.
_IF_NONE: Final = frozenset({OpeningState.COMMITTED, OpeningState.CARRYING})
_HAD_CHANNEL: Final = DELIVERED - {OrderState.OPENING}


def cancel(
    order_id: UUID,
    node: LndNode,
    *,
    reason: str,
    detail: str = "",
    only: int | None = None,
    never_was: bool = False,
    carried: int = 0,
) -> None:
    """The live attempt, nothing of which was published, is FAILED, and the order knows what follows.

    `only`: the attempt that is meant; a process that slept must not cancel its successor. `never_was`, `carried`: as
    for `begin`.
    Money: a held payment stays held. Repeat: safe.
    Raises: NodeUnavailable, OutcomeUnknown (a later look goes on).
    """
    if begin(order_id, reason=reason, detail=detail, only=only, never_was=never_was, carried=carried):
        finish(order_id, node)


def begin(
    order_id: UUID,
    *,
    reason: str,
    detail: str = "",
    conflict_is_deep: bool = False,
    never_was: bool = False,
    carried: int = 0,
    only: int | None = None,
) -> bool:
    """CANCELLING is recorded; False where the attempt may still deliver, or there is none.

    After the point of no return only a conflicting spend 6 deep (`conflict_is_deep`) ends an attempt. A COMMITTED or
    CARRYING one ends only at the word of who has found no channel, when none could come of it any more (`never_was`);
    or, CARRYING, one that its payment has left as empty as it was: `carried` parts had gone on when that was seen, and
    not one more has since.
    """
    try:
        with locked(order_id) as order:
            opening = order.live_opening
            if opening is None or only not in {None, opening.pk}:
                return False
            if opening.state == OpeningState.CANCELLING:
                return True
            if opening.state not in (_ENDED | _IF_NONE if never_was else _ENDED) and not conflict_is_deep:
                return False
            if opening.state == OpeningState.CARRYING and len(passing.of(order).parts) != carried:
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
    if order.state not in _HAD_CHANNEL and tracing.is_behind(order, opening, node):
        # Our records are older than the truth: nothing is abandoned or freed; the next attempt's look adopts it.
        _record_failed(order_id, opening.pk, still_secured=security.look(order, node).secured)
        return
    if _may_be_in_use(order, opening, node) and _left_behind(opening, node) and _kept(opening, node):
        return  # before its peer is disconnected, for whom it is of use
    node.cancel_shim(bytes(opening.pending_chan_id))
    # Before FUNDED is recorded nothing was verified: no channel can come of it.
    if opening.transaction is not None and not _ended_at_the_peer(order, opening, node):
        return
    if not order.openings.filter(pk=opening.pk, state=OpeningState.CANCELLING).exists():
        return  # we slept, and somebody has ended it: what is leased now is the next attempt's
    coins.release(marks.lock_id(order_id), node)
    if _left_behind(opening, node) or coins.held(marks.lock_id(order_id), node):
        raise OutcomeUnknown("The node said that it was done, and it was not.")  # CANCELLING stays: again, later
    if order.is_jit and opening.transaction is not None:
        passing.take_number_back(order, node)
    still_secured = security.look(order, node).secured
    _record_failed(order_id, opening.pk, still_secured=still_secured)


def _ended_at_the_peer(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> bool:
    """The peer completes nothing any more, and our side of it is abandoned; False: a zero-conf channel is kept."""
    with apart(opening, node):
        left = _left_behind(opening, node)
        if left and _may_be_in_use(order, opening, node):
            return not _kept(opening, node)
        for outpoint in left:
            node.abandon_channel(outpoint)
    return True


def _may_be_in_use(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> bool:
    """Its buyer may have received money over it. Only where a rival of the funding is deep it is worth nothing; and
    where he trusts us, and nothing is in it.
    """
    if not opening.zero_conf or order.state != OrderState.URI_SET:
        return False
    return not (passing.trusts_us(order) and carrying.is_empty(order, opening, node))


def _kept(opening: ChannelOpening, node: LndNode) -> bool:
    """A channel that should not be is funded after all, if its coins are still ours to give; else a person is told."""
    try:
        return committing.keep(opening.order_id, opening.pk, node)
    except (Rejected, NotFound) as error:
        words = f"A zero-conf channel came to be after its attempt was given up, and its coins are gone: {error}"
        flag(opening.order_id, FlagKind.ZERO_CONF_UNFUNDED, words)
        raise OutcomeUnknown(words) from error


def _left_behind(opening: ChannelOpening, node: LndNode) -> set[Outpoint]:
    """This attempt's own channel, if there is one. What only the memo names is another attempt's, maybe delivered."""
    if not opening.funding_outpoint:
        return set()  # no transaction was drafted for it
    return {Outpoint.parse(opening.funding_outpoint)} if tracing.is_anywhere(node, opening) else set()


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
        elif order.state in DELIVERED:
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
