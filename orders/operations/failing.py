"""An attempt failed: the order waits and tries again, or gives up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders.models import ChannelOrder
from orders.operations.giving_up import mark_given_up
from orders.states import OrderState
from orders.transitions import locked, needs_staff, note

#: Staff have stopped the openings.
OPENINGS_PAUSED: Final = "OPENINGS_PAUSED"
#: The peer or the node has said that it will not be, however often we ask.
FINAL: Final = frozenset(
    {"CHAN_SIZE_TOO_BIG", "CHAN_SIZE_TOO_SMALL", "FEATURE_MISSING", "CHANNEL_REJECTED", "PEER_REJECT_MULTI_CHAN"}
)
#: They pass by themselves.
PASSING: Final = frozenset(
    {
        "PEER_NOT_REACHABLE",
        "PEER_BUSY",
        "LSP_BUSY",
        OPENINGS_PAUSED,
        "PEER_TOO_MANY_PENDING_CHANNELS",
        "NODE_NOT_READY",
        "INSUFFICIENT_FUNDS",
        "FEE_TOO_HIGH",
        "PAYMENT_NOT_SECURED",
        "FUNDING_CONFLICT",
        "FAILED_OPENING",
    }
)
#: They pass when a person tops up or looks at the fees.
CALLS_STAFF: Final = {
    "INSUFFICIENT_FUNDS": "The node has not enough deep coins for this channel.",
    "FEE_TOO_HIGH": "The funding transaction would cost more than MAX_FUNDING_FEE_SAT.",
}
#: No failures of this order: whoever ends them nudges us, and this is the net below that.
_NOT_ITS_FAULT: Final = {
    "PEER_BUSY": timedelta(seconds=30),
    "LSP_BUSY": timedelta(seconds=5),
    OPENINGS_PAUSED: timedelta(minutes=5),
}
#: A block may change them: no need to wait for the pause.
ENDED_BY_A_BLOCK: Final = frozenset({"INSUFFICIENT_FUNDS", "FEE_TOO_HIGH", "PEER_TOO_MANY_PENDING_CHANNELS"})


def known(reason: str) -> str:
    """The reason, or FAILED_OPENING where it is no word that buyers know."""
    return reason if reason in FINAL | PASSING else "FAILED_OPENING"


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
        mark_given_up(order, reason=reason)
        return
    order.last_failure_reason = reason
    if reason in CALLS_STAFF:
        needs_staff(order, CALLS_STAFF[reason])
    wait = _NOT_ITS_FAULT.get(reason)
    if wait is None:
        order.failed_openings += 1
        wait = pause(order.failed_openings)
    order.due_at = min(now + wait, order.open_deadline_at or now + wait)


def _deadline_passed(order: ChannelOrder, now: datetime) -> bool:
    return order.open_deadline_at is not None and order.open_deadline_at <= now
