"""An attempt failed: the order waits and tries again, or gives up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders.actors import LSP, Authority
from orders.models import ChannelOrder
from orders.openings.reasons import CALLS_STAFF, FINAL, NOT_ITS_FAULT, known
from orders.payments.security import is_ours
from orders.states import OrderState
from orders.transitions import locked, move, needs_staff, note

#: How the flag begins that a retry takes down.
GAVE_UP: Final = "Gave up"


def pause(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: doubling, up to a limit."""
    seconds = settings.RETRY_FIRST_SECONDS * 2 ** min(failures - 1, 20)
    return timedelta(seconds=min(seconds, settings.RETRY_MAX_SECONDS))


def postpone(order_id: UUID, reason: str, detail: str) -> None:
    """The claimed order waits before its next attempt; no attempt was begun."""
    with locked(order_id) as order:
        if order.state == OrderState.URI_SET and order.live_opening is None:
            if order.last_failure_reason != known(reason):
                note(order, "opening_postponed", reason=reason, detail=detail[:300])
            after_failure(order, reason)


def after_failure(order: ChannelOrder, reason: str) -> None:
    """The order gives up (a final reason, or its deadline has come) or is due after a pause.

    The caller holds the order's row; the order is URI_SET or OPENING, and no attempt is live.
    """
    reason = known(reason)
    now = timezone.now()
    if reason in FINAL or _deadline_passed(order, now):
        mark_given_up(order, reason=reason, actor=LSP)
        return
    order.last_failure_reason = reason
    if reason in CALLS_STAFF:
        needs_staff(order, CALLS_STAFF[reason])
    wait = NOT_ITS_FAULT.get(reason)
    if wait is None:
        order.failed_openings += 1
        wait = pause(order.failed_openings)
    order.due_at = min(now + wait, order.open_deadline_at or now + wait)


def _deadline_passed(order: ChannelOrder, now: datetime) -> bool:
    return order.open_deadline_at is not None and order.open_deadline_at <= now


def mark_given_up(order: ChannelOrder, *, reason: str, actor: Authority) -> None:
    """The order is GIVE_UP, and a person is told where its money does not go back by itself.

    The caller holds the order's row and knows that no attempt is live.
    """
    order.give_up_reason = reason
    order.give_up_until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_SECONDS)
    move(order, OrderState.GIVE_UP, cause="gave_up", actor=actor, reason=reason)
    if is_ours(order):
        needs_staff(order, f"{GAVE_UP} ({reason}) with the buyer's money: retry, or return it.")
