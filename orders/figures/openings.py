"""How attempts to open end, why they fail, and how long a buyer waits from payment to a usable channel."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from orders.figures import kinds
from orders.figures.period import Period
from orders.figures.tally import Sum, summed
from orders.figures.waiting import BUCKETS_SECONDS, percentile


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
    """How long the buyers waited whose channels became usable in a period, as `waiting.cell` has it: to 3 %."""

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


def openings(period: Period | None = None) -> Openings:
    """The attempts that were begun in the period, or ever."""
    told = [(state, why, number) for _, (state, why), [number] in summed(kinds.TRIED, period)]
    found = sorted(told, key=lambda each: (-each[2], each[1]))
    counts = {"confirmed": 0, "failed": 0}
    for state, _, number in found:
        counts[state] = counts.get(state, 0) + number
    confirmed, failed, begun = counts["confirmed"], counts["failed"], sum(counts.values())
    why = tuple((reason, number) for state, reason, number in found if state == "failed")
    return Openings(begun, confirmed, begun - confirmed - failed, failed, why)


def waits(period: Period) -> Waits:
    """Of the channels that became usable in the period: from the payment that counts until then."""
    found = cells(summed(kinds.OPENED, period))
    return Waits(sum(number for _, number in found), percentile(found, 50), percentile(found, 95))


def cells(found: Iterable[Sum]) -> list[tuple[int, int]]:
    """Of sums of what was opened: each cell of waits, and how many there are in it."""
    return [(int(words[0]), sums[0]) for _, words, sums in found if words]


def histogram() -> Histogram:
    """From the first day on: no bucket ever gets less, and whoever asks is told the same."""
    found = [(int(words[0]), sums) for _, words, sums in summed(kinds.OPENED) if words]
    bounds: list[int | None] = [*BUCKETS_SECONDS, None]
    counts = [0] * len(bounds)
    for wait, (number, *_) in found:
        counts[bisect_left(BUCKETS_SECONDS, wait)] += number
    return Histogram(tuple(zip(bounds, accumulate(counts), strict=True)), sum(sums[-1] for _, sums in found))
