"""What django-q2 runs. At least once each: nothing here rests on it being once."""

from __future__ import annotations

import logging
from uuid import UUID

from django.utils import timezone

from orders import advance, alerting, queries, reconcile

log = logging.getLogger(__name__)


def advance_order(order_id: str) -> None:
    """The order was looked at, unless somebody has done so since this was queued."""
    if queries.is_due(UUID(order_id), timezone.now()):
        advance.advance(UUID(order_id))


def reconcile_all() -> str:
    """One pass was made; scheduled every minute."""
    done = reconcile.reconcile()
    return f"nudged={done.nudged} queued={done.queued}"


def send_alerts() -> str:
    """Whoever is to be told was told; scheduled every minute, in a task of its own that holds up no order."""
    try:
        return f"told={alerting.watch()}"
    except Exception:
        # Its failure is no order's, and queueing it again would only be a second one beside the next minute's.
        log.exception("alerts could not be looked after")
        return "failed"
