"""What django-q2 runs. At least once each: nothing here rests on it being once."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from django.utils import timezone
from django_q.tasks import async_task

from lightning import connection as lightning
from lightning.errors import LightningError
from orders import actors, advance, locks, outage, queries, reconcile
from orders.auditing import checking
from orders.openings import turns
from orders.operations import expiring, fee_keeping
from orders.rollups import keeping

log = logging.getLogger(__name__)


def advance_order(order_id: str) -> None:
    """The order was looked at, unless somebody has done so since this was queued, or the node is away.

    What waits for a peer is left to those who may (`keep_the_lane`): behind this task stands what moves money.
    """
    if outage.of_node().lasts(lightning.node()):
        return
    if queries.is_due(UUID(order_id), timezone.now()):
        advance.advance(UUID(order_id), turn=turns.NEVER)


#: Named, not imported: the lane of what waits for peers stands above the domain.
KEEP_THE_LANE: Final = "streams.tasks.keep_the_lane"


def reconcile_all() -> str:
    """One pass was made, and somebody waits for peers; scheduled every minute."""
    if not (locks.is_held(locks.STREAMS) or locks.is_held(locks.LANE)):
        async_task(KEEP_THE_LANE, group="lane")
    done = reconcile.reconcile()
    return f"nudged={done.nudged} queued={done.queued}"


def close_expired() -> str:
    """Channels whose lease is over are to be closed where their service says so; scheduled every hour."""
    found = expiring.close_expired(actor=actors.LSP)
    return f"closing={sum(not each.why_not for each in found)} of={len(found)}"


def keep_routing_fees() -> str:
    """No channel asks for more than was promised; scheduled every ten minutes."""
    try:
        return f"put_back={fee_keeping.keep(lightning.node())}"
    except LightningError as error:
        log.warning("what is asked for forwarding is looked at later: %s", error)
        return "the node is away"


def check_books() -> str:
    """The books were held against our rows and the node's wallet, if it is time; scheduled every hour."""
    if not checking.is_time(timezone.now()):
        return "not yet"
    try:
        return checking.remember(checking.check(lightning.node())).words
    except LightningError as error:
        log.warning("the books are compared with the wallet an hour later: %s", error)
        return "the node is away"


def keep_figures() -> str:
    """What figures by day come from was read and added up; scheduled every ten minutes."""
    return keeping.keep(lightning.node(), timezone.now())
