"""What we earn: for each channel that was sold, and in sum. By whole days of UTC, as the books and the node have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from orders.figures.asking import rows
from orders.figures.extremes import told_apart
from orders.figures.parts import YEAR_SECONDS, Parts, capital_cost_msat
from orders.figures.period import Period

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

#: The channels that we sold, by what the node calls them in its history.
SOLD: Final = """
SELECT DISTINCT ON (order_id) order_id, short_channel_id, node_pubkey, capacity_sat
  FROM orders_channelopening WHERE state IN ('published', 'confirmed') ORDER BY order_id, attempt DESC
"""

#: A forward earns once: for the channel that it left by, or where that is none of those that we sold, for the one
#: that it came by.
ROUTED: Final = """
SELECT d.day, coalesce(went.order_id, came.order_id) AS order_id, d.forwards, d.in_msat, d.out_msat
  FROM orders_forwardday d
  LEFT JOIN sold went ON went.short_channel_id = d.channel_out
  LEFT JOIN sold came ON came.short_channel_id = d.channel_in
 WHERE d.day >= %(first)s AND d.day <= %(last)s
"""

_BY_ORDER: Final = f"""
WITH sold AS MATERIALIZED ({SOLD}), legs AS (
    SELECT e.order_id, e.kind, l.account, l.amount_msat,
           CASE WHEN l.account = 'channels'
                THEN l.amount_msat * extract(epoch FROM %(until)s::timestamptz - greatest(e.at, %(since)s))
           END AS bound,
           e.at >= %(since)s AS is_within
      FROM orders_entry e JOIN orders_leg l ON l.entry_id = e.id
     WHERE e.at < %(until)s AND (e.at >= %(since)s OR l.account = 'channels')
), booked AS (
    SELECT order_id, floor(coalesce(sum(bound), 0)) AS bound_msat_seconds, {PARTS_OF_LEGS},
           coalesce(-sum(amount_msat) FILTER (WHERE is_within AND kind NOT IN ('refund', 'by_hand')
                                                AND account IN ('given', 'delivered', 'refunded')), 0)::bigint
               AS unpaid_msat
      FROM legs GROUP BY order_id
), routed AS (
    SELECT order_id, sum(in_msat - out_msat)::bigint AS routing_msat FROM ({ROUTED}) AS each
     WHERE order_id IS NOT NULL GROUP BY order_id
), both_sides AS (
    SELECT order_id, coalesce(routing_msat, 0) AS routing_msat, coalesce(bound_msat_seconds, 0) AS bound_msat_seconds,
           coalesce(sale_fees_msat, 0) AS sale_fees_msat, coalesce(open_cost_msat, 0) AS open_cost_msat,
           coalesce(bump_cost_msat, 0) AS bump_cost_msat, coalesce(close_cost_msat, 0) AS close_cost_msat,
           coalesce(refund_cost_msat, 0) AS refund_cost_msat, coalesce(refund_borne_msat, 0) AS refund_borne_msat,
           coalesce(losses_msat, 0) AS losses_msat, coalesce(unpaid_msat, 0) AS unpaid_msat
      FROM booked FULL JOIN routed USING (order_id)
), earned AS (
    SELECT e.*, s.order_id IS NOT NULL AS is_channel, s.node_pubkey, s.short_channel_id, s.capacity_sat,
           div(e.bound_msat_seconds * %(ppm)s::numeric, %(year)s::numeric) AS capital_cost_msat
      FROM both_sides e LEFT JOIN sold s USING (order_id)
     WHERE (bound_msat_seconds, routing_msat, sale_fees_msat, open_cost_msat, bump_cost_msat, close_cost_msat,
            refund_cost_msat, refund_borne_msat, losses_msat, unpaid_msat) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
), costed AS MATERIALIZED (
    SELECT *, open_cost_msat + bump_cost_msat + close_cost_msat + refund_cost_msat + losses_msat AS costs_msat,
           sale_fees_msat + refund_borne_msat + routing_msat - open_cost_msat - bump_cost_msat - close_cost_msat
               - refund_cost_msat - losses_msat - capital_cost_msat AS profit_msat
      FROM earned
)
"""  # noqa: S608  our own words only

_PARTS: Final = (
    "sale_fees_msat", "routing_msat", "open_cost_msat", "bump_cost_msat", "close_cost_msat", "refund_cost_msat",
    "refund_borne_msat", "losses_msat", "bound_msat_seconds",
)  # fmt: skip
_SUMS: Final = ", ".join(f"coalesce(sum({name}), 0)" for name in _PARTS)
_CHANNEL: Final = (
    "c.order_id, c.node_pubkey, c.short_channel_id, c.capacity_sat, o.opened_at, o.closed_at, "
    + ", ".join(f"c.{name}" for name in _PARTS)
)

#: What a list of channels may be ordered by.
ORDERS: Final = {
    "profit": "profit_msat",
    "yearly": "profit_msat / nullif(bound_msat_seconds, 0)",
    "sale": "sale_fees_msat",
    "routing": "routing_msat",
    "costs": "costs_msat",
    "capital": "capital_cost_msat",
    "bound": "bound_msat_seconds",
    "capacity": "capacity_sat",
    "opened": "(SELECT opened_at FROM orders_channelorder WHERE id = costed.order_id)",
}

_SUMMED: Final = f"""{_BY_ORDER}
SELECT is_channel, count(*), coalesce(sum(unpaid_msat), 0)::bigint, {_SUMS} FROM costed GROUP BY is_channel
"""  # noqa: S608  our own words only


def _places(what: str, by: str, limit: str) -> str:
    """A part of the list, numbered: what a page shows, and what is best and worst."""
    return f"""
    (SELECT '{what}' AS what, row_number() OVER (ORDER BY {by} NULLS LAST, order_id) AS place, *
       FROM costed WHERE is_channel ORDER BY {by} NULLS LAST, order_id {limit})"""  # noqa: S608  our own words only


def _listed(by: str) -> str:
    parts = [
        _places("page", by, "LIMIT %(limit)s OFFSET %(offset)s"),
        _places("best", "profit_msat DESC", "LIMIT %(most)s"),
        _places("worst", "profit_msat", "LIMIT %(most)s"),
    ]
    return f"""{_BY_ORDER}
SELECT c.what, {_CHANNEL} FROM ({" UNION ALL ".join(parts)}) AS c JOIN orders_channelorder o ON o.id = c.order_id
 ORDER BY c.what, c.place"""  # noqa: S608  our own words only


@dataclass(frozen=True, slots=True)
class ChannelEarned:
    """A channel that was sold, and what it has earned."""

    order_id: UUID
    node_pubkey: str
    short_channel_id: str
    capacity_sat: int
    opened_at: datetime | None
    closed_at: datetime | None
    parts: Parts


@dataclass(frozen=True, slots=True)
class Earnings:
    """What was earned from the first of these days to the last."""

    first: date
    last: date
    total: Parts
    #: What of that is of no channel that was sold: orders that were given up, coins that were split.
    beside: Parts
    channels: int
    #: What the books have less than `total.booked_msat`: given to buyers with a channel that is not paid for yet.
    unpaid_msat: int
    #: A part of all channels, in the order that was asked for; the best and the worst by their profit, none of them
    #: twice.
    rows: tuple[ChannelEarned, ...]
    best: tuple[ChannelEarned, ...]
    worst: tuple[ChannelEarned, ...]
    #: So many channels between these have all earned the same, and how much; 0: they have not.
    alike: int
    alike_msat: int


def earnings(
    period: Period,
    now: datetime,
    *,
    order_by: str = "profit",
    descending: bool = True,
    offset: int = 0,
    limit: int = 50,
    most: int = 5,
) -> Earnings:
    """The days that the period touches: summed, and channel by channel. Two statements. Raises: KeyError."""
    given, way = _given(period, now), "DESC" if descending else "ASC"
    sums = {is_channel: rest for is_channel, *rest in rows(_SUMMED, **given)}
    beside, channels = (_parts(sums[each][2:]) if each in sums else Parts() for each in (False, True))
    found = rows(_listed(f"{ORDERS[order_by]} {way}"), **given, limit=limit, offset=offset, most=most)
    listed = {what: tuple(_channel(row) for kind, *row in found if kind == what) for what in ("page", "best", "worst")}
    count = sums[True][0] if True in sums else 0
    best, worst = ([each.parts.profit_msat for each in listed[what]] for what in ("best", "worst"))
    ends = told_apart(best, worst, count)
    return Earnings(
        first=given["first"],
        last=given["last"],
        total=_with_cost(channels + beside),
        beside=beside,
        channels=count,
        unpaid_msat=sum(each[1] for each in sums.values()),
        rows=listed["page"],
        best=listed["best"][: ends.best],
        worst=listed["worst"][: ends.worst],
        alike=ends.alike,
        alike_msat=ends.alike_msat,
    )


def channels_earned(period: Period, now: datetime, *, order_by: str = "profit") -> Iterator[ChannelEarned]:
    """All of them, the most first: read from the database a few at a time."""
    statement = f"""{_BY_ORDER}
        SELECT {_CHANNEL} FROM costed c JOIN orders_channelorder o ON o.id = c.order_id
         WHERE is_channel ORDER BY {ORDERS[order_by]} DESC NULLS LAST, c.order_id"""  # noqa: S608  our own words only
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement.replace("costed.order_id", "c.order_id"), _given(period, now))
        while found := cursor.fetchmany(1_000):
            yield from map(_channel, found)


def _given(period: Period, now: datetime) -> dict[str, Any]:
    first, last = period.whole_days
    since, until = period.of_days.since, min(period.of_days.until, now)
    return {
        "first": first,
        "last": last,
        "since": min(since, until),
        "until": until,
        "ppm": settings.CAPITAL_COST_PPM,
        "year": 1_000_000 * YEAR_SECONDS,
    }


def _channel(row: Sequence[Any]) -> ChannelEarned:
    order_id, pubkey, short_channel_id, capacity_sat, opened_at, closed_at, *parts = row
    return ChannelEarned(order_id, pubkey, short_channel_id, capacity_sat, opened_at, closed_at, _parts(parts))


def _parts(sums: Sequence[Any]) -> Parts:
    return _with_cost(Parts(**{name: int(each) for name, each in zip(_PARTS, sums, strict=True)}))


def _with_cost(parts: Parts) -> Parts:
    cost_msat = capital_cost_msat(parts.bound_msat_seconds, settings.CAPITAL_COST_PPM)
    return replace(parts, capital_cost_msat=cost_msat)
