"""What a scrape gets: looked up once, and kept for a few seconds for whoever asks meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orders import figures, queries
from orders.figures import Period
from watch.metrics import families

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
#: However many scrape, and however often: a process asks the database no more than once in so long.
KEPT_SECONDS: Final = 10.0
#: A database that hangs gets no more than one thread of a process: the others are for buyers.
_WAIT_SECONDS: Final = 3.0
#: The orders whose way to a channel is told: those that were quoted in so long.
LATELY: Final = timedelta(days=1)


class Shop(Collector):
    """Reads every figure once, in a bounded number of statements."""

    def collect(self) -> Iterator[Metric]:
        """Every family, also where there is nothing to count. Raises: DatabaseError."""
        with figures.one_look():
            found = list(self._families())
        yield from found

    def _families(self) -> Iterator[Metric]:
        now, seen = timezone.now(), queries.snapshot()
        yield from families.server(figures.database_seconds(), figures.heartbeats(now), figures.queue(now))
        yield from families.needs_you(figures.needs(now, seen), figures.alerts_standing())
        yield from families.orders(figures.by_state(), figures.oldest(now))
        yield from families.lately(figures.funnel(Period.last(LATELY, now)))
        yield from families.openings(figures.openings(), figures.histogram(), figures.earned())
        yield from families.earnings(figures.earned_ever(now))
        yield from families.refunds(figures.refunds())
        yield from families.capacity(figures.capacity(seen))
        if seen is not None:
            yield from families.coins(figures.coins(seen))
        yield from families.node(figures.node_seen(seen, now) if seen else None)


@dataclass
class _Kept:
    text: bytes = b""
    until: float = 0.0
    asking: threading.Lock = field(default_factory=threading.Lock)


_kept = _Kept()


def exposition() -> bytes | None:
    """The text, at most KEPT_SECONDS old. Who comes while it is made waits for it; None: for too long.

    Raises: DatabaseError.
    """
    if not _kept.asking.acquire(timeout=_WAIT_SECONDS):
        return None
    try:
        if time.monotonic() >= _kept.until:
            registry = CollectorRegistry()  # not the library's own: that counts what one process does
            registry.register(Shop())
            _kept.text = generate_latest(registry)
            _kept.until = time.monotonic() + KEPT_SECONDS
        return _kept.text
    finally:
        _kept.asking.release()


def forget() -> None:
    """The next scrape looks anew."""
    _kept.until = 0.0
