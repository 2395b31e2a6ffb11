"""How attempts to open end, why they fail, and how long a buyer waits from payment to a usable channel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from orders.figures.asking import OTHER_REASON, REASONS, rows
from orders.figures.period import Period

#: From seconds (a simulated chain) to the days that three blocks may take: a block is some ten minutes.
BUCKETS_SECONDS: Final = (
    60,
    300,
    600,
    1_200,
    1_800,
    2_700,
    3_600,
    5_400,
    7_200,
    10_800,
    21_600,
    43_200,
    86_400,
    259_200,
)


@dataclass(frozen=True, slots=True)
class Openings:
    """Attempts, by how they ended: confirmed is as deep as we ask."""

    begun: int
    confirmed: int
    under_way: int
    failed: int
    #: (why, how many), the most frequent first.
    failures: tuple[tuple[str, int], ...]

    @property
    def success(self) -> float | None:
        """Of those that are over, the part that was confirmed; None while none is."""
        over = self.confirmed + self.failed
        return self.confirmed / over if over else None


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the buyers waited whose channels became usable in a period."""

    orders: int
    p50_seconds: int | None
    p95_seconds: int | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """All of them, ever: how many waited at most so long. The last bucket has no bound and counts all."""

    #: (at most so many seconds, or None; how many), each with those before it.
    buckets: tuple[tuple[int | None, int], ...]
    sum_seconds: int

    @property
    def orders(self) -> int:
        """How many there are."""
        return self.buckets[-1][1]


_OPENINGS: Final = """
SELECT state, CASE WHEN state <> 'failed' THEN '' WHEN failure_reason = ANY(%(reasons)s) THEN failure_reason
                   ELSE %(other)s END, count(*)
FROM orders_channelopening
WHERE (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""

#: How long a buyer waited, from the payment that counts to a usable channel.
SECONDS: Final = "greatest(0, floor(extract(epoch FROM opened_at - paid_at)))::bigint"

_WAITS: Final = f"""
SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY {SECONDS}),
       percentile_disc(0.95) WITHIN GROUP (ORDER BY {SECONDS})
FROM orders_channelorder
WHERE opened_at >= %(since)s AND opened_at < %(until)s AND paid_at IS NOT NULL
"""  # noqa: S608  our own words only

#: A bound belongs to its bucket, and what PostgreSQL calls a threshold to the next one.
_HISTOGRAM: Final = f"""
SELECT width_bucket(seconds, %(thresholds)s::bigint[]), count(*), sum(seconds)::bigint
FROM (SELECT {SECONDS} AS seconds FROM orders_channelorder
      WHERE opened_at IS NOT NULL AND paid_at IS NOT NULL) AS each
GROUP BY 1
"""  # noqa: S608  our own words only


def openings(period: Period | None = None) -> Openings:
    """The attempts that were begun in the period, or ever."""
    given = period.given if period else {"since": None, "until": None}
    found = rows(_OPENINGS, **given, reasons=list(REASONS), other=OTHER_REASON)
    counts = {"confirmed": 0, "failed": 0}
    for state, _, number in found:
        counts[state] = counts.get(state, 0) + number
    confirmed, failed, begun = counts["confirmed"], counts["failed"], sum(counts.values())
    why = tuple((reason, number) for state, reason, number in found if state == "failed")
    return Openings(begun, confirmed, begun - confirmed - failed, failed, why)


def waits(period: Period) -> Waits:
    """Of the channels that became usable in the period: from the payment that counts until then."""
    [row] = rows(_WAITS, **period.given)
    return Waits(*row)


def histogram() -> Histogram:
    """From the first day on: no bucket ever gets less, and whoever asks is told the same."""
    found = rows(_HISTOGRAM, thresholds=[bound + 1 for bound in BUCKETS_SECONDS])
    counts = {at: number for at, number, _ in found}
    bounds: list[int | None] = [*BUCKETS_SECONDS, None]
    sums = accumulate(counts.get(at, 0) for at in range(len(bounds)))
    return Histogram(tuple(zip(bounds, sums, strict=True)), sum(seconds for *_, seconds in found))
