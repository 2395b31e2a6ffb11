"""What orders have earned: reckoned from books and forwards, or kept of those that nothing moves any more.

An order is *over* when the books have nothing of it in channels and its last entry is of a day that is over. Then all
that it ever earned is a row (`OrderEarned`), kept by the round of the figures (orders.rollups.earned), and such rows
are summed by the days on which they began and ended. For a period, whatever began and ended in it is taken from there.
All others are reckoned when they are asked for: orders that are not over, that were moved since the last day that is
kept, that began or ended outside the period, or that something has changed late (`orders_staleorder`, written by
triggers in the same transaction). So an answer never depends on how far the round has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from orders.figures.asking import rows
from orders.figures.parts import YEAR_SECONDS
from orders.figures.sold import KNOWN_AS, LAST, ROUTED, SOLD, USED
from orders.figures.tally import midnight
from orders.models import RollUpName

#: What the legs of entries come to, in the order that `Parts` has them, of what the books have alone.
PARTS_OF_LEGS: Final = """
       coalesce(-sum(amount_msat) FILTER (WHERE account = 'fees_earned'), 0)::bigint AS sale_fees_msat,
       coalesce(sum(amount_msat) FILTER (WHERE account = 'chain_fees' AND kind NOT IN ('child', 'refund')), 0)::bigint
           AS open_cost_msat,
       coalesce(sum(amount_msat) FILTER (WHERE account = 'chain_fees' AND kind = 'child'), 0)::bigint
           AS bump_cost_msat,
       coalesce(sum(amount_msat) FILTER (WHERE account = 'close_costs'), 0)::bigint AS close_cost_msat,
       coalesce(sum(amount_msat) FILTER (WHERE account = 'chain_fees' AND kind = 'refund'), 0)::bigint
           AS refund_cost_msat,
       coalesce(-sum(amount_msat) FILTER (WHERE account IN ('given', 'refunded') AND kind = 'refund'), 0)::bigint
           AS refund_borne_msat,
       coalesce(sum(amount_msat) FILTER (WHERE account = 'losses'), 0)::bigint AS losses_msat
"""
#: The sums of rows that are kept: by the day on which they ended, and in words that on which they began.
FIGURE: Final = "earned"
PARTS: Final = (
    "sale_fees_msat", "routing_msat", "open_cost_msat", "bump_cost_msat", "close_cost_msat", "refund_cost_msat",
    "refund_borne_msat", "losses_msat", "bound_msat_seconds",
)  # fmt: skip
#: Of no part: given to buyers with a channel that is not paid for yet.
SUMMED: Final = ("unpaid_msat", *PARTS)
#: As a row is kept, and as one is reckoned.
COLUMNS: Final = (
    "order_id", "is_channel", "capacity_sat", "opened_at", *SUMMED, "capital_cost_msat", "costs_msat", "profit_msat",
)  # fmt: skip

#: The orders that anything moved on these days: the books, or forwards.
MOVED: Final = f"""
SELECT order_id FROM orders_entry
 WHERE order_id IS NOT NULL AND at >= %(moved_since)s AND at < %(moved_until)s
 UNION
SELECT a.order_id FROM orders_channelopening AS a WHERE {LAST} AND {KNOWN_AS} IN (
    SELECT channel_out FROM orders_forwardday WHERE day >= %(moved_first)s AND day <= %(moved_last)s
     UNION SELECT channel_in FROM orders_forwardday WHERE day >= %(moved_first)s AND day <= %(moved_last)s)
"""  # noqa: S608  our own words only

#: What a period cannot take from what is kept. A statement of its own: how many there are is nothing to be estimated.
_REST: Final = f"""
SELECT order_id FROM orders_orderearned WHERE NOT is_over
 UNION SELECT order_id FROM orders_staleorder
 UNION SELECT order_id FROM orders_orderearned WHERE is_over AND first_day < %(first)s AND last_day >= %(first)s
 UNION SELECT order_id FROM orders_orderearned WHERE is_over AND first_day <= %(last)s AND last_day > %(last)s
 UNION {MOVED}
"""  # noqa: S608  our own words only

_BEFORE: Final = "WHERE e.at < %(until)s"
_ENTRIES: Final = f"SELECT e.id, e.order_id, e.kind, e.at FROM orders_entry e {_BEFORE}"  # noqa: S608


def _of(orders: str, besides: str = "") -> str:
    """The entries, and the channels, of these orders alone."""
    return f"""
rest AS MATERIALIZED ({orders}), entries AS (
    SELECT e.id, e.order_id, e.kind, e.at FROM rest JOIN orders_entry e USING (order_id) {_BEFORE}{besides}
), sold AS MATERIALIZED ({SOLD} AND a.order_id IN (SELECT order_id FROM rest)),
"""  # noqa: S608  our own words only


def _reckoned(which: str, routed: str = "true") -> str:
    """The parts of each order, of `entries`; and of what no order has, where these have any."""
    return f"""
WITH {which} used AS MATERIALIZED ({USED}), legs AS (
    SELECT e.order_id, e.kind, e.at, l.account, l.amount_msat,
           CASE WHEN l.account = 'channels'
                THEN l.amount_msat * extract(epoch FROM %(until)s::timestamptz - greatest(e.at, %(since)s))
           END AS bound,
           e.at >= %(since)s AS is_within
      FROM entries e JOIN orders_leg l ON l.entry_id = e.id
     WHERE e.at >= %(since)s OR l.account = 'channels'
), booked AS (
    SELECT order_id, floor(coalesce(sum(bound), 0)) AS bound_msat_seconds, {PARTS_OF_LEGS},
           min(at) AS first_at, max(at) AS last_at,
           coalesce(sum(amount_msat) FILTER (WHERE account = 'channels'), 0) AS in_channels_msat,
           coalesce(-sum(amount_msat) FILTER (WHERE is_within AND kind NOT IN ('refund', 'by_hand')
                                                AND account IN ('given', 'delivered', 'refunded')), 0)::bigint
               AS unpaid_msat
      FROM legs GROUP BY order_id
), routed AS (
    SELECT order_id, sum(in_msat - out_msat)::bigint AS routing_msat, min(day) AS routed_first, max(day) AS routed_last
      FROM ({ROUTED}) AS each WHERE order_id IS NOT NULL AND {routed} GROUP BY order_id
), both_sides AS (
    SELECT order_id, coalesce(routing_msat, 0) AS routing_msat, coalesce(bound_msat_seconds, 0) AS bound_msat_seconds,
           coalesce(sale_fees_msat, 0) AS sale_fees_msat, coalesce(open_cost_msat, 0) AS open_cost_msat,
           coalesce(bump_cost_msat, 0) AS bump_cost_msat, coalesce(close_cost_msat, 0) AS close_cost_msat,
           coalesce(refund_cost_msat, 0) AS refund_cost_msat, coalesce(refund_borne_msat, 0) AS refund_borne_msat,
           coalesce(losses_msat, 0) AS losses_msat, coalesce(unpaid_msat, 0) AS unpaid_msat,
           coalesce(in_channels_msat, 0) AS in_channels_msat,
           least((first_at AT TIME ZONE 'UTC')::date, routed_first) AS first_day,
           greatest((last_at AT TIME ZONE 'UTC')::date, routed_last) AS last_day
      FROM booked FULL JOIN routed USING (order_id)
), earned AS (
    SELECT e.*, s.order_id IS NOT NULL AS is_channel, s.capacity_sat,
           (SELECT opened_at FROM orders_channelorder WHERE id = e.order_id) AS opened_at,
           div(e.bound_msat_seconds * %(ppm)s::numeric, %(year)s::numeric) AS capital_cost_msat
      FROM both_sides e LEFT JOIN sold s USING (order_id)
), reckoned AS MATERIALIZED (
    SELECT *, open_cost_msat + bump_cost_msat + close_cost_msat + refund_cost_msat + losses_msat AS costs_msat,
           sale_fees_msat + refund_borne_msat + routing_msat - open_cost_msat - bump_cost_msat - close_cost_msat
               - refund_cost_msat - losses_msat - capital_cost_msat AS profit_msat
      FROM earned
)"""  # noqa: S608  our own words only


#: Something is not nothing.
COUNTS: Final = f"({', '.join(SUMMED)}) <> ({', '.join('0' for _ in SUMMED)})"
#: Whatever there is.
WHOLE: Final = _reckoned(f"entries AS ({_ENTRIES}), sold AS MATERIALIZED ({SOLD}),")
_OURS: Final = "order_id IN (SELECT order_id FROM rest)"
_THESE: Final = "SELECT unnest(%(orders)s::uuid[]) AS order_id"
#: What is not kept, or not for these days; with what is of no order.
UNKEPT: Final = _reckoned(_of(_THESE, f" UNION ALL {_ENTRIES} AND e.order_id IS NULL"), routed=_OURS)
#: These orders, as they are to be kept.
THESE: Final = _reckoned(_of(_THESE), routed=_OURS)
#: Kept, and wholly within the period.
WITHIN: Final = "is_over AND counts AND first_day >= %(first)s AND last_day <= %(last)s"

MEANING: Final = hashlib.sha256(THESE.encode()).hexdigest()[:48]


def capital() -> dict[str, int]:
    """What capital costs, as the statements want it."""
    return {"ppm": settings.CAPITAL_COST_PPM, "year": 1_000_000 * YEAR_SECONDS}


def moved_after(day: date) -> dict[str, Any]:
    """The days after this one, as the statements want them."""
    return moved_between(day + timedelta(days=1), date.max - timedelta(days=1))


def moved_between(first: date, last: date) -> dict[str, Any]:
    """From the first to the last, as the statements want them."""
    since, until = midnight(first), midnight(last + timedelta(days=1))
    return {"moved_since": since, "moved_until": until, "moved_first": first, "moved_last": last}


def meaning() -> str:
    """By which statements, and at what cost of capital, what is kept has to be made."""
    return f"{MEANING}:{settings.CAPITAL_COST_PPM}"


_KEPT: Final = "SELECT through FROM orders_rollup WHERE name = %(name)s AND meaning = %(meaning)s"


def kept_through() -> date | None:
    """The last day through which orders are kept; None: none are."""
    found = rows(_KEPT, name=RollUpName.EARNED, meaning=meaning())
    return found[0][0] if found else None


def rest(given: Mapping[str, Any]) -> list[UUID]:
    """The orders that a period cannot take from what is kept."""
    return [order for (order,) in rows(_REST, **given)]
