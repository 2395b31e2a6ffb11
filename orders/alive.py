"""Signs of life: from when to when a process, or the node, gave them without a pause."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from orders.models import Heartbeat

#: The one for the node itself: it has answered a look.
NODE: Final = "node"

#: Who listens to the node, and what it says of itself while it answers what peers ask.
STREAMS: Final = "streams"
HEARS_PEERS: Final = "peers=heard"

#: The last stretch is longer by this sign, unless there was a pause before it: then another begins.
_LIVES: Final = """
WITH longer AS (
    UPDATE orders_alive SET until = greatest(until, %(at)s)
     WHERE id = (SELECT id FROM orders_alive WHERE name = %(name)s ORDER BY until DESC LIMIT 1)
       AND until >= %(not_before)s
    RETURNING id
)
INSERT INTO orders_alive (name, since, until)
SELECT %(name)s, %(at)s, %(at)s WHERE NOT EXISTS (SELECT FROM longer)
ON CONFLICT (name, since) DO NOTHING
"""


def lives(name: str, at: datetime) -> None:
    """It gave a sign of life at this moment. A silence longer than `HEARTBEAT_STALE_SECONDS` was a pause."""
    stale = timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_LIVES, {"name": name[:32], "at": at, "not_before": at - stale})


def says(name: str, word: str) -> bool:
    """The process has finished a round a short while ago, and said this of itself."""
    oldest = timezone.now() - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS)
    beats = Heartbeat.objects.filter(pk=name, at__gte=oldest).values_list("detail", flat=True)
    return any(word in detail.split() for detail in beats)
