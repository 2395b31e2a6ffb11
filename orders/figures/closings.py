"""How channels that were sold ended: at whose hand, and whether before their lease did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders.figures import kinds
from orders.figures.period import Period
from orders.figures.tally import summed

#: The node's words for how a channel ended, and who was at work, as far as they say.
BY: Final = {
    "cooperative_close": "together",
    "local_force_close": "us",
    "abandoned": "us",
    "remote_force_close": "peer",
    "breach_close": "peer",
    "funding_canceled": "nobody",
}
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Ended:
    """Channels that were closed in a period by one side, or by both together; `early`: before their lease ended.

    That is told by the block in which they were spent, and where it is not known by the clock: we may hear of it late.
    """

    by: str
    closed: int
    early: int
    capacity_sat: int


def closings(period: Period) -> list[Ended]:
    """The channels that were closed in the period, by who closed them; the most first."""
    sums: dict[str, list[int]] = {}
    for _, (close_type,), found in summed(kinds.CLOSED, period):
        before = sums.setdefault(BY.get(close_type, UNKNOWN), [0, 0, 0])
        before[:] = [one + other for one, other in zip(before, found, strict=True)]
    return sorted((Ended(by, *told) for by, told in sums.items()), key=lambda ended: (-ended.closed, ended.by))
