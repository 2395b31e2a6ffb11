"""How channels that were sold ended: at whose hand, and whether before their lease did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders.figures.asking import rows
from orders.figures.period import Period

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


_CLOSINGS: Final = """
SELECT coalesce(a.close_type, ''), count(*), count(*) FILTER (
           WHERE coalesce(a.close_height < o.lease_ends_height, o.closed_at < o.lease_ends_at)
       ),
       sum(o.lsp_balance_sat + o.client_balance_sat)::bigint
FROM orders_channelorder o
LEFT JOIN LATERAL (
    SELECT close_type, close_height FROM orders_channelopening
    WHERE order_id = o.id AND close_type <> '' ORDER BY attempt DESC LIMIT 1
) AS a ON true
WHERE o.closed_at >= %(since)s AND o.closed_at < %(until)s
GROUP BY 1
"""


def closings(period: Period) -> list[Ended]:
    """The channels that were closed in the period, by who closed them; the most first."""
    sums: dict[str, list[int]] = {}
    for kind, *found in rows(_CLOSINGS, **period.given):
        before = sums.setdefault(BY.get(kind, UNKNOWN), [0, 0, 0])
        before[:] = [one + other for one, other in zip(before, found, strict=True)]
    return sorted((Ended(by, *told) for by, told in sums.items()), key=lambda ended: (-ended.closed, ended.by))
