"""How often somebody may do a thing, counted in a table, so that all processes count together."""

from __future__ import annotations

import math
import random
from typing import Final

from django.utils import timezone

from orders.keys import client_hash
from orders.models import RequestCount
from orders.postgres.line import line

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: One request in so many removes the counts that are over.
CLEANING_IN: Final = 200

#: One statement, because it stands before every request; it may be lost in a crash of the database, so nobody
#: waits for the disk.
_COUNT: Final = """
WITH hasty AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO orders_requestcount AS kept (key_hash, count, ends_at)
SELECT %(key)s, 1, now() + %(seconds)s * interval '1 second' FROM hasty
ON CONFLICT (key_hash) DO UPDATE SET
    count = CASE WHEN kept.ends_at <= now() THEN 1 ELSE least(kept.count, 1000000000) + 1 END,
    ends_at = CASE WHEN kept.ends_at <= now() THEN excluded.ends_at ELSE kept.ends_at END
RETURNING count, extract(epoch FROM ends_at - now())
"""


def wait_seconds(what: str, rate: str, *, times: int = 1) -> int | None:
    """It is counted, in a window that begins with the first. None: it may be done; else the seconds to wait.

    `what` says what is done and by whom, and only its hash is stored. `times`: so many times the rate is allowed.
    """
    allowed, window_seconds = parsed_rate(rate)
    if random.randrange(CLEANING_IN) == 0:  # noqa: S311  no secret
        RequestCount.objects.filter(ends_at__lt=timezone.now()).delete()
    with line().prepared() as cursor:
        cursor.execute(_COUNT, {"key": client_hash(what), "seconds": window_seconds})
        count, left_seconds = cursor.fetchone()
    return None if count <= allowed * times else max(1, math.ceil(left_seconds))


def parsed_rate(rate: str) -> tuple[int, int]:
    """`60/min` as a number of requests and the seconds of their window."""
    number, _, period = rate.partition("/")
    return int(number), _SECONDS[period[0]]
