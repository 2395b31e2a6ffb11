"""An attempt failed: the order waits and tries again, or gives up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders import reservations
from orders.actors import LSP, Authority
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOpening, ChannelOrder
from orders.models.order import Rail
from orders.openings import announcing, terms, zero_conf
from orders.openings.reasons import (
    CALLS_STAFF,
    COINS_SHORT,
    FINAL,
    LOSES_ITS_PLACE,
    NODE_NOT_READY,
    NOT_ITS_FAULT,
    known,
)
from orders.openings.terms import Terms
from orders.payments import onchain
from orders.payments.lightning import passing
from orders.payments.security import is_ours
from orders.states import OrderState
from orders.transitions import locked, move, note
from orders.waking import telling

#: Who pays for a channel that opens just in time waits for its end.
_PAYER_WAITS: Final = timedelta(seconds=1)
#: Not within the same look: who was quicker has leased his coins by then.
_NEXT_IN_LINE: Final = timedelta(seconds=1)
_NOBODY_REFUSED: Final = frozenset({"PEER_NOT_REACHABLE", "PEER_BUSY", "LSP_BUSY", NODE_NOT_READY})


def pause(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: doubling, up to a limit."""
    seconds = settings.RETRY_FIRST_SECONDS * 2 ** min(failures - 1, 20)
    return timedelta(seconds=min(seconds, settings.RETRY_MAX_SECONDS))


def postpone(order_id: UUID, reason: str, detail: str, *, wanted: Terms | None = None) -> bool:
    """The claimed order waits before its next attempt, and says why; False where it is not one that waits for that.

    `wanted`: what could not be had. Where something else is asked for since, that is due already.
    """
    with locked(order_id) as order:
        if order.state != OrderState.URI_SET or order.live_opening is not None:
            return False
        if wanted in {None, terms.of(order)}:
            put_off(order, reason, detail)
    return True


def put_off(order: ChannelOrder, reason: str, detail: str) -> None:
    """As `postpone`, for who holds the order's row and knows that it is claimed and no attempt is live."""
    if order.last_failure_reason != known(reason):
        note(order, Cause.OPENING_POSTPONED, reason=reason, detail=detail[:300])
        if known(reason) == "PEER_NOT_REACHABLE":
            telling.payment_incoming(order.node_pubkey)
    after_failure(order, reason)


def after_attempt(order: ChannelOrder, opening: ChannelOpening) -> None:
    """What follows from a failed attempt: as `after_failure`, but for a channel that was refused and was not quite as
    sold: larger by a surplus, which is left out of the next one; or public; or zero-conf.

    Where nobody has asked for a public one, the order asks for an unannounced one from now on, after the first pause.
    The caller holds the order's row; the order is URI_SET, and no attempt is live.
    """
    if order.is_jit:
        _just_in_time(order, known(opening.failure_reason))
        return
    if opening.failure_reason == "LSP_BUSY":  # others were quicker with the coins: it goes on, to wait in line
        order.last_failure_reason, order.due_at = opening.failure_reason, timezone.now() + _NEXT_IN_LINE
        return
    if opening.surplus_sat and known(opening.failure_reason) in FINAL:  # it may be for what was added
        note(order, Cause.SURPLUS_LEFT_OUT, attempt=opening.attempt, reason=opening.failure_reason)
        _wait(order, known(opening.failure_reason))
        return
    if not announcing.may_go_without(order, opening):
        _without_zero_conf(order, opening)
        return
    order.announce_refused_by = opening.node_pubkey
    note(order, Cause.ANNOUNCEMENT_REFUSED, attempt=opening.attempt, reason=opening.failure_reason)
    order.failed_openings = 0
    _wait(order, opening.failure_reason)


def _just_in_time(order: ChannelOrder, reason: str) -> None:
    """Tried again only where nobody has refused anything, and no payment was passed on: its payer waits meanwhile.

    A wallet that has gone away in the midst of it is told, as one that was not there when it began.
    """
    if reason not in _NOBODY_REFUSED or passing.of(order).parts:
        mark_given_up(order, reason=reason, actor=LSP)
        return
    after_failure(order, reason)
    if reason == "PEER_NOT_REACHABLE":
        telling.payment_incoming(order.node_pubkey)


def _without_zero_conf(order: ChannelOrder, opening: ChannelOpening) -> None:
    """An ordinary channel is asked for from now on, where the refused one was to be usable at once."""
    if not zero_conf.may_go_without(opening):
        after_failure(order, opening.failure_reason)
        return
    zero_conf.leave_out(order, opening.node_pubkey, attempt=opening.attempt, reason=opening.failure_reason)
    order.failed_openings = 0
    _wait(order, known(opening.failure_reason))


def after_failure(order: ChannelOrder, reason: str) -> None:
    """The order gives up (a final reason, or its deadline has come) or is due after a pause.

    The caller holds the order's row; the order is URI_SET or OPENING, and no attempt is live.
    """
    if known(reason) in LOSES_ITS_PLACE:
        reservations.unreached(order)
    if known(reason) in FINAL:
        order.failed_openings += 1
        mark_given_up(order, reason=known(reason), actor=LSP)
    else:
        _wait(order, known(reason))


def _wait(order: ChannelOrder, reason: str) -> None:
    now = timezone.now()
    wait = _waited(order, now) if reason == COINS_SHORT else NOT_ITS_FAULT.get(reason)
    if wait is None:
        order.failed_openings += 1
        wait = pause(order.failed_openings)
    if order.is_jit:
        wait = min(wait, _PAYER_WAITS)
    if _deadline_passed(order, now):
        mark_given_up(order, reason=reason, actor=LSP)
        return
    order.last_failure_reason = reason
    if reason in CALLS_STAFF:
        raise_flag(order, *CALLS_STAFF[reason])
    order.due_at = min(now + wait, order.open_deadline_at or now + wait)


def _waited(order: ChannelOrder, now: datetime) -> timedelta:
    """A quarter of the time since the claim, within the bounds of a pause."""
    least, most = settings.RETRY_FIRST_SECONDS, settings.RETRY_MAX_SECONDS
    waited = (now - (order.claimed_at or now)).total_seconds()
    return timedelta(seconds=min(max(least, waited / 4), most))


def _deadline_passed(order: ChannelOrder, now: datetime) -> bool:
    return order.open_deadline_at is not None and order.open_deadline_at <= now


def mark_given_up(order: ChannelOrder, *, reason: str, actor: Authority, cause: Cause = Cause.GAVE_UP) -> None:
    """The order is GIVE_UP, and a person is told where its money does not go back by itself.

    The caller holds the order's row and knows that no attempt is live.
    """
    grace = settings.GIVE_UP_GRACE_ONCHAIN_SECONDS if is_ours(order) else settings.GIVE_UP_GRACE_SECONDS
    if order.is_jit:  # nobody tries it again: its payer is told at once
        grace = 0
    order.give_up_reason = reason
    order.give_up_until = timezone.now() + timedelta(seconds=grace)
    move(order, OrderState.GIVE_UP, cause=cause, actor=actor, reason=reason)
    if is_ours(order):
        words = f"Gave up ({reason}) with the buyer's money: retry, or return it."
        raise_flag(order, FlagKind.GAVE_UP, words, actor=actor)
        propose_undelivered(order)


def propose_undelivered(order: ChannelOrder) -> None:
    """Of a Lightning payment that was settled, and that buys nothing any more, all is proposed to go back on chain.

    The caller holds the order's row.
    """
    if order.counted_payment == Rail.LIGHTNING and is_ours(order):
        onchain.propose_refund(order, order.order_total_sat, cause=Cause.NOT_DELIVERED, ends_order=True)
