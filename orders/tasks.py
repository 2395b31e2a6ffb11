"""What django-q2 runs. At least once each: nothing here rests on it being once."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from lightning import connection as lightning
from orders import advance, outage, queries, reconcile


def advance_order(order_id: str) -> None:
    """The order was looked at, unless somebody has done so since this was queued, or the node is away."""
    if outage.of_node().lasts(lightning.node()):
        return
    if queries.is_due(UUID(order_id), timezone.now()):
        advance.advance(UUID(order_id))


def reconcile_all() -> str:
    """One pass was made; scheduled every minute."""
    done = reconcile.reconcile()
    return f"nudged={done.nudged} queued={done.queued}"
