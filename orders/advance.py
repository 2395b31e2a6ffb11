"""Look at an order and at the node, and run the next operation. Level-triggered: call it as often as you like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import connection as lightning
from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown
from lightning.node import LndNode
from orders import ceilings, clock, locks, outage, payments, queries, serving
from orders.actors import LSP
from orders.causes import Cause, FlagKind
from orders.errors import DATABASE_TROUBLE, NotAvailable, NotPossible
from orders.flags import Found, flag, found
from orders.models import ChannelOrder
from orders.openings import (
    cancelling,
    closes,
    conflicting,
    following,
    opening,
    outliving,
    publishing,
    reasons,
    retrying,
    silent,
    terms,
    tracing,
    turns,
    undone,
)
from orders.openings.turns import Elsewhere, Turn
from orders.operations import giving_up, giving_way, shutdown, snapshot, turning_away
from orders.payments import counting, onchain, security
from orders.payments.lightning import passing
from orders.payments.rail import PaymentRail
from orders.states import BEFORE_RETURN, DELIVERED, OpeningState, OrderState

log = logging.getLogger(__name__)

#: Operations in one go; an order needs about eight from payment to published.
_MOST_STEPS: Final = 20
_STUCK: Final = timedelta(minutes=15)
_TROUBLE_PAUSE: Final = timedelta(seconds=10)
_LOOK_AGAIN: Final = timedelta(seconds=60)
_SELDOM: Final = timedelta(minutes=10)
_HAS_CHANNEL: Final = frozenset({OrderState.OPENING, OrderState.OPEN})

Step = Callable[[ChannelOrder, LndNode, datetime], datetime | None]


def advance(order_id: UUID, *, node: LndNode | None = None, turn: Turn = turns.HERE) -> bool:
    """Everything that can be done for the order now is done; False where somebody else is at it.

    `turn`: who waits for the order's peer, and when. Where that is somebody else, the order stays due for him.
    Repeat: safe, at any time, by anybody.
    """
    with locks.only_one(locks.order(order_id)) as obtained:
        if obtained:
            _advance(order_id, node or lightning.node(), turn)
    return obtained


def _advance(order_id: UUID, node: LndNode, turn: Turn) -> None:
    for _ in range(_MOST_STEPS):
        order = queries.order_or_raise(order_id)
        now = timezone.now()
        try:
            due = _step(order, node, now, turn)
        except Elsewhere:
            return
        except LightningError as error:
            if turn.gave_way():
                continue  # what it waited for is ended at once: others wait for its place
            if _is_outage(error, node):
                clock.set_due(order, now)  # it is looked at as soon as the node is back
                return
            log.warning("order=%s state=%s the node: %s: %s", order_id, order.state, type(error).__name__, error)
            _flag_if_stuck(order, error, now)
            clock.set_due(order, now + _TROUBLE_PAUSE)
            return
        except DATABASE_TROUBLE:
            raise  # the database's trouble, not the order's
        except Exception:
            _pause(order_id)  # a defect must not become a busy loop
            flag(order_id, FlagKind.SERVER_DEFECT, "A defect of the server keeps this order: its log says which.")
            raise
        if clock.set_due(order, _later(due, now)):
            found(order, Found.NO_DEFECT)
            return
    log.error("order=%s has taken %d steps in one look, and does not come to rest", order_id, _MOST_STEPS)
    _pause(order_id)


def _is_outage(error: LightningError, node: LndNode) -> bool:
    """The call failed because the node is away, and not for a reason of its own."""
    return isinstance(error, (NodeUnavailable, OutcomeUnknown)) and outage.of_node().explains(node)


def _later(due: datetime | None, now: datetime) -> datetime | None:
    """As the step asks; a pause where it asks for another look at once, and had nothing to change."""
    return now + _LOOK_AGAIN if due is not None and due <= now else due


def _pause(order_id: UUID) -> None:
    """Whatever the look has changed is no reason to look again at once; what is done after this is."""
    clock.set_due(ChannelOrder.objects.get(pk=order_id), timezone.now() + _LOOK_AGAIN)


def _flag_if_stuck(order: ChannelOrder, error: LightningError, now: datetime) -> None:
    """An attempt that has not moved for long, though the node answers, is for a person to see."""
    live = order.live_opening
    if live is None or isinstance(error, NodeUnavailable) or live.changed_at + _STUCK > now:
        return
    words = f"An attempt to open stays {live.get_state_display().lower()}: {type(error).__name__}."
    flag(order.pk, FlagKind.ATTEMPT_STUCK, words)


def _step(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime | None:
    """At most one operation, and one of a refund; returns when to look again, None: when something happens.

    Raises: Elsewhere.
    """
    looks = [_refund(order, node, now), _state_step(order, node, now, turn)]
    if onchain.is_missing(order):  # nothing of ours tells when it is double-spent for good
        looks.append(now + _SELDOM)
    return min(filter(None, looks), default=None)


def _refund(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    """What is the buyer's again goes back on chain; when to look at that again."""
    if not onchain.may_owe(order):
        return None
    if onchain.live_refund(order) is not None:
        if not onchain.is_going_back(order):  # else the return has the whole look
            _refund_besides(order, node)
        return now + (_LOOK_AGAIN if order.refund_address else _SELDOM)
    if onchain.due_sat(order, now) <= 0 or onchain.buys_late(order, now):
        return now + _SELDOM if onchain.awaits_depth(order) else None
    if onchain.is_over(order, now) and order.state != OrderState.REFUNDED and _is_delivered(order, node):
        return now + _SELDOM
    onchain.intend_refund(order.pk)
    return now + _LOOK_AGAIN


def _refund_besides(order: ChannelOrder, node: LndNode) -> None:
    """A surplus is one step further, or is left for the next look: the order does not wait for it."""
    try:
        onchain.finish_return(order.pk, node)
    except LightningError as error:
        log.warning("order=%s a refund besides: %s: %s", order.pk, type(error).__name__, error)


def _state_step(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime | None:
    if order.state != OrderState.CREATED and onchain.see_who_paid(order):
        order = queries.order_or_raise(order.pk)
    if _is_unpaid_after_all(order, node):
        return now + _LOOK_AGAIN
    going_back = [rail for rail in payments.RAILS.values() if rail.is_going_back(order)]
    if going_back:
        return _finish_return(going_back[0], order, node, now)
    live = order.live_opening
    if live is not None and live.state in BEFORE_RETURN:  # they only end, or go on, together with the peer
        turn.enter_to_end(order)
    if order.state == OrderState.URI_SET:
        return _claimed(order, node, now, turn)
    if order.state in DELIVERED:
        return _delivering(order, node, now, turn)
    if live is not None:
        return now + (_LOOK_AGAIN if outliving.end(order, live, node) else _SELDOM)
    step = _STEPS.get(OrderState(order.state))
    return step(order, node, now) if step else None


def _is_unpaid_after_all(order: ChannelOrder, node: LndNode) -> bool:
    """What was taken in no block is decided, or what counted can never count again."""
    is_delivered = partial(_is_delivered, order, node)
    if order.on_credit:
        return onchain.follow_credit(order, node, is_delivered=is_delivered)
    return onchain.follow_missing(order, is_delivered=is_delivered)


def _finish_return(rail: PaymentRail, order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    """Back with the buyer, unless the order was delivered and nobody has asked the node for that yet."""
    if security.counted(order) is rail and rail.is_returned_unasked(order) and _is_delivered(order, node):
        rail.keep(order.pk)
        return now + _SELDOM
    if rail is onchain and onchain.is_unsigned(order) and _is_delivered(order, node):
        return now + _SELDOM  # it was due before our records were put back
    rail.finish_return(order.pk, node)
    return now + (_LOOK_AGAIN if rail is onchain else _TROUBLE_PAUSE)


def _created(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    if any(rail.arrive(order, node) for rail in payments.RAILS.values()):
        return now + _LOOK_AGAIN
    if order.is_going and not counting.covered(order):
        giving_way.end_quote(order.pk)
        return now + _LOOK_AGAIN
    if order.expires_at > now:
        return min(order.expires_at, now + _SELDOM)
    return _past_its_time(order, now)


def _past_its_time(order: ChannelOrder, now: datetime) -> datetime | None:
    """Expired, unless a deposit that was made in time is on its way: deposits must have been read since."""
    read_at = order.lsp_node.deposits_at
    if read_at is None or read_at < order.expires_at:
        return now + timedelta(seconds=15)
    if counting.may_yet_be_paid(order, now):
        return now + _LOOK_AGAIN
    if not counting.intend_return(order.pk, cause=Cause.EXPIRED):
        counting.expire(order.pk)
    return now + _LOOK_AGAIN


def _paid(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    payment = security.look(order, node)
    expires_at = order.claim_expires_at or now
    if payment.lost:
        return _return_payment(order, node, now, cause=Cause.PAYMENT_NOT_SECURED)
    if serving.bars_payment(order) and not _is_delivered(order, node):
        turning_away.reject_payment(order.pk)
        return now + _LOOK_AGAIN
    if order.is_going or ((waits := _room_by(order, node)) is not None and waits <= now):
        return _return_payment(order, node, now, cause=Cause.GAVE_WAY)
    if waits is not None:
        return waits
    if expires_at <= now and security.is_held(order):
        return _return_payment(order, node, now, cause=Cause.NEVER_CLAIMED)
    if expires_at <= now:
        if not order.refund_address:
            flag(order.pk, FlagKind.NEVER_CLAIMED, "Paid and never claimed.")
        return None
    return min(expires_at, now + _SELDOM)


def _room_by(order: ChannelOrder, node: LndNode) -> datetime | None:
    """Until when the paid order may wait for room; None: it has its place."""
    if not order.waits_for_room:
        return None
    with suppress(NotAvailable):  # what we saw of the node before has to do
        if giving_way.place(order.pk, node):
            return None
    return order.reservation.until


def _return_payment(order: ChannelOrder, node: LndNode, now: datetime, *, cause: Cause) -> datetime | None:
    """Recorded to go back, unless the node has a channel of this order that a database put back knows nothing of."""
    if _is_delivered(order, node):
        return now + _SELDOM
    counting.intend_return(order.pk, cause=cause)
    return now + _LOOK_AGAIN


def _is_delivered(order: ChannelOrder, node: LndNode) -> bool:
    """The node has what a database that was put back knows nothing of: a person is told, and no money goes back."""
    is_there = tracing.find_trace(order, node) is not None
    if is_there:
        words = "The node has a channel or funding of this order that our records do not know: return no money of it."
        flag(order.pk, FlagKind.TRACE_UNKNOWN, words)
    return is_there


def _claimed(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime | None:
    live = order.live_opening
    if live is not None:
        silent.recover(order, live, node, now)
        return now + (passing.pause(order, now) if order.is_jit else _LOOK_AGAIN)
    if serving.bars_node(order) or serving.bars_payment(order):
        return _turned_away(order, node, now)
    if _gives_way(order, node, now):
        if not opening.adopt_traced(order, node):
            giving_way.give_up(order.pk)
        return now + _LOOK_AGAIN
    if order.due_at is not None and not queries.is_due_at(order.due_at, now):
        return order.due_at  # it waits after a failure; whoever knows better nudges
    wanted = terms.of(order)
    try:
        return _try_to_open(order, node, now, turn)
    except LightningError as error:
        reason = reasons.reason_of(error)
        # An outage is no order's trouble; an attempt that has begun is looked at in its own way.
        if _is_outage(error, node) or not retrying.postpone(order.pk, reason, str(error), wanted=wanted):
            raise
        log.warning("order=%s no attempt: %s: %s", order.pk, type(error).__name__, error)
        return now + _TROUBLE_PAUSE


def _turned_away(order: ChannelOrder, node: LndNode, now: datetime) -> datetime:
    """It is not delivered, unless the node has a channel of it already."""
    if not opening.adopt_traced(order, node):
        turning_away.reject_payment(order.pk)
        turning_away.give_up(order.pk)
    return now + _LOOK_AGAIN


def _gives_way(order: ChannelOrder, node: LndNode, now: datetime) -> bool:
    """The claimed order was told to go; or it waits for room, and its node was dialled in vain, or its time is over."""
    until = None if order.is_going else _room_by(order, node)
    in_vain = order.last_failure_reason == "PEER_NOT_REACHABLE"
    return order.is_going or (until is not None and (in_vain or until <= now))


def _try_to_open(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime:
    """An attempt was made, or the order has given up, or it waits and says why."""
    is_over = order.open_deadline_at is not None and order.open_deadline_at <= now
    if not turn.may_attempt and not is_over:
        raise Elsewhere  # before the node is asked anything: all claimed orders that wait are looked at like this
    payment = security.look(order, node, snapshot.fresh_height(order))
    too_late = payment.spare_blocks is not None and payment.spare_blocks < settings.SPARE_BLOCKS
    if payment.lost or too_late:
        _give_up(order, "PAYMENT_NOT_SECURED")
        return now
    if is_over:
        if not opening.adopt_traced(order, node):
            _give_up(order, order.last_failure_reason or "PEER_NOT_REACHABLE")
        return now
    if not payment.secured:
        retrying.postpone(order.pk, reasons.PAYMENT_NOT_SECURED, payment.reason)
        return now + _LOOK_AGAIN
    if (room := _room_at_node(order, node, now)) is not None:
        return room
    opening.attempt(order, node, turn, payment)
    return now + _LOOK_AGAIN


def _room_at_node(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    """None: its node may have this channel too; else it has given up, or waits for the rate that the limit needs."""
    try:
        if not ceilings.is_over(order):
            return None
    except NotAvailable as error:
        retrying.postpone(order.pk, "LSP_BUSY", error.message)
        return now + _LOOK_AGAIN
    if not opening.adopt_traced(order, node):
        _give_up(order, reasons.NODE_LIMIT)
    return now


def _give_up(order: ChannelOrder, reason: str) -> None:
    """The order has given up, unless somebody has moved it since we read it: then it is looked at again."""
    with suppress(NotPossible):
        giving_up.give_up(order.pk, reason=reason, actor=LSP)


def _delivering(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime | None:
    """From OPENING on: the funding is seen through to its depth, the channel is followed."""
    live = order.live_opening
    rail = security.counted(order)
    if rail is not None and rail.is_held(order):
        rail.settle(order.pk, node)  # does nothing before the funding is published
    if live is not None:
        _push_on(order.pk, OpeningState(live.state), node)
        if live.state in {OpeningState.PUBLISHING, OpeningState.CONFLICTING, OpeningState.CANCELLING}:
            return now + _LOOK_AGAIN
    closes_at = shutdown.go_on(order, node, now, turn) if order.state in _HAS_CHANNEL else None
    following.follow(order.pk, node)
    if order.state == OrderState.CLOSED:
        (undone if order.is_undone else closes).tell_again(order.pk)
        if order.is_jit:
            passing.take_number_back(order, node)
    if order.is_jit and security.is_held(order):
        return now + passing.pause(order, now)
    if live is not None or order.state not in {OrderState.OPEN, OrderState.CLOSED}:
        return now + _LOOK_AGAIN
    is_unsettled = security.is_held(order) or (order.state == OrderState.OPEN and following.awaits_name(order))
    return min(filter(None, (closes_at, now + _SELDOM if is_unsettled else None)), default=None)


def _push_on(order_id: UUID, state: OpeningState, node: LndNode) -> None:
    operations = {
        OpeningState.PUBLISHING: publishing.publish,
        OpeningState.PUBLISHED: publishing.watch,
        OpeningState.CONFLICTING: conflicting.push,
        OpeningState.CANCELLING: cancelling.finish,
    }
    operations[state](order_id, node)


def _given_up(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    if not security.is_held(order):
        _is_delivered(order, node)  # else the person who is to return the money must know
        waits = order.give_up_until is not None and order.give_up_until > now
        return min(order.give_up_until or now, now + _SELDOM) if waits else None
    if order.is_going:
        return _return_payment(order, node, now, cause=Cause.GAVE_WAY)
    until = order.give_up_until or now
    if until <= now or security.look(order, node).lost:
        return _return_payment(order, node, now, cause=Cause.GAVE_UP)
    return min(until, now + _SELDOM)


def _rejected(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    _is_delivered(order, node)
    return None


def _expired(order: ChannelOrder, node: LndNode, now: datetime) -> datetime | None:
    """What came too late still buys, where it covers what the channel costs today; else it goes back."""
    if onchain.buys_late(order, now) and not _is_delivered(order, node):
        onchain.take_late(order.pk)
        return now + _LOOK_AGAIN
    return None


_STEPS: Final[dict[OrderState, Step]] = {
    OrderState.CREATED: _created,
    OrderState.PAID: _paid,
    OrderState.EXPIRED: _expired,
    OrderState.GIVE_UP: _given_up,
    OrderState.REJECTED: _rejected,
}
