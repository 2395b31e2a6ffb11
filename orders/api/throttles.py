"""How often one client address may ask."""

from __future__ import annotations

import math
import random
from typing import ClassVar, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from orders.api.clients import client_address
from orders.keys import client_hash
from orders.models import RequestCount

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


class ClientThrottle(BaseThrottle):
    """So many requests of a kind in a window that begins with the first; the subclass names the setting."""

    setting: ClassVar[str]
    _wait_seconds = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        """The request is counted; False when it is one too many."""
        allowed, window_seconds = parsed_rate(getattr(settings, self.setting))
        key = client_hash(f"{self.setting}:{client_address(request._request)}")
        if random.randrange(CLEANING_IN) == 0:  # noqa: S311  no secret
            RequestCount.objects.filter(ends_at__lt=timezone.now()).delete()
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, {"key": key, "seconds": window_seconds})
            count, self._wait_seconds = cursor.fetchone()
        return bool(count <= allowed)

    def wait(self) -> float:
        """Seconds until the window ends."""
        return math.ceil(self._wait_seconds)


def parsed_rate(rate: str) -> tuple[int, int]:
    """`60/min` as a number of requests and the seconds of their window."""
    number, _, period = rate.partition("/")
    return int(number), _SECONDS[period[0]]


class BuyThrottle(ClientThrottle):
    """Orders."""

    setting = "BUY_RATE"


class ReadThrottle(ClientThrottle):
    """Reads."""

    setting = "READ_RATE"


class ClaimThrottle(ClientThrottle):
    """Claims, by either way."""

    setting = "CLAIM_RATE"
