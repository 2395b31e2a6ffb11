"""What we earn: for each channel that was sold, and in sum. By whole days of UTC, as the books and the node have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from orders.figures import lives
from orders.figures.asking import rows
from orders.figures.extremes import told_apart
from orders.figures.parts import Parts, capital_cost_msat
from orders.figures.period import Period
from orders.figures.sold import SOLD

#: What a list of channels may be ordered by. None of the first ones is ever nothing, and an index has the profit.
ORDERS: Final = {
    "profit": "profit_msat",
    "yearly": "profit_msat / nullif(bound_msat_seconds::numeric, 0)",
    "sale": "sale_fees_msat",
    "routing": "routing_msat",
    "costs": "costs_msat",
    "capital": "capital_cost_msat",
    "bound": "bound_msat_seconds",
    "capacity": "capacity_sat",
    "opened": "opened_at",
}
#: Of a channel that bound nothing, whose size we do not know, or that never was usable.
_MAY_BE_NOTHING: Final = frozenset({"yearly", "capacity", "opened"})


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
    """The days that the period touches: summed, and channel by channel. Four statements. Raises: KeyError."""
    asked = _asked(period, now)
    sums = {is_channel: rest for is_channel, *rest in rows(asked.summed, **asked.given)}
    beside, channels = (_parts(sums[each][2:]) if each in sums else Parts() for each in (False, True))
    listed = _listed(asked, _ordered(order_by, descending), offset, limit, most)
    count = int(sums[True][0]) if True in sums else 0
    best, worst = ([each.parts.profit_msat for each in listed[what]] for what in ("best", "worst"))
    ends = told_apart(best, worst, count)
    return Earnings(
        first=asked.given["first"],
        last=asked.given["last"],
        total=_with_cost(channels + beside),
        beside=beside,
        channels=count,
        unpaid_msat=int(sum(each[1] for each in sums.values())),
        rows=listed["page"],
        best=listed["best"][: ends.best],
        worst=listed["worst"][: ends.worst],
        alike=ends.alike,
        alike_msat=ends.alike_msat,
    )


def channels_earned(period: Period, now: datetime, *, order_by: str = "profit") -> Iterator[ChannelEarned]:
    """All of them, the most first: read from the database a few at a time."""
    asked = _asked(period, now)
    statement = f"""{asked.reckoned}
        SELECT {_CHANNEL} FROM ({asked.channels()}) AS c {_NAMED}
         ORDER BY {_ordered(order_by, descending=True)}"""  # noqa: S608  our own words only
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, asked.given)
        while found := cursor.fetchmany(1_000):
            yield from map(_channel, found)


def _ordered(order_by: str, descending: bool) -> str:
    """What is alike is in the order of an index, forwards or backwards."""
    way = "DESC" if descending else "ASC"
    last = " NULLS LAST" if order_by in _MAY_BE_NOTHING else ""
    return f"{ORDERS[order_by]} {way}{last}, order_id {way}"


def _listed(asked: _Asked, by: str, offset: int, limit: int, most: int) -> dict[str, tuple[ChannelEarned, ...]]:
    """What a page shows, and what is best and worst."""
    parts = (
        _places(asked, "page", by, offset, limit),
        _places(asked, "best", _ordered("profit", descending=True), 0, most),
        _places(asked, "worst", _ordered("profit", descending=False), 0, most),
    )
    statement = f"""{asked.reckoned}
        SELECT what, {_CHANNEL} FROM ({" UNION ALL ".join(parts)}) AS c {_NAMED}
         ORDER BY what, place"""  # noqa: S608  our own words only
    found = rows(statement, **asked.given)
    return {what: tuple(_channel(row) for kind, *row in found if kind == what) for what in ("page", "best", "worst")}


def _places(asked: _Asked, what: str, by: str, offset: int, limit: int) -> str:
    """A part of the list, numbered."""
    order = f"ORDER BY {by}"
    return f"""
    (SELECT '{what}' AS what, row_number() OVER ({order}) AS place, *
       FROM ({asked.channels(f"{order} LIMIT {offset + limit:d}")}) AS each
      {order} LIMIT {limit:d} OFFSET {offset:d})"""  # noqa: S608  our own words only


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a period is answered: from what is kept and from what is reckoned now, or from the latter alone."""

    given: Mapping[str, Any]
    is_kept: bool

    @property
    def reckoned(self) -> str:
        """What is reckoned now."""
        return lives.UNKEPT if self.is_kept else lives.WHOLE

    @property
    def summed(self) -> str:
        """Channels and what is beside them, with how many there are. Whatever is both reckoned and kept counts once."""
        names = ", ".join(lives.SUMMED)
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in lives.SUMMED)
        kept = f""" UNION ALL SELECT words[2] = 'channel', {", ".join(f"sums[{n}]" for n in range(1, _WIDTH + 1))}
             FROM orders_dayfigure
            WHERE figure = '{lives.FIGURE}' AND day >= %(first)s AND day <= %(last)s AND words[1]::date >= %(first)s
            UNION ALL SELECT is_channel, -1, {", ".join(f"-{name}" for name in lives.SUMMED)} FROM orders_orderearned
            WHERE {lives.WITHIN} AND order_id IN (SELECT order_id FROM rest)"""  # noqa: S608  our own words only
        return f"""{self.reckoned}
        SELECT is_channel, sum(number)::bigint, {sums}
          FROM (SELECT is_channel, 1 AS number, {names} FROM reckoned WHERE {lives.COUNTS}
                {kept if self.is_kept else ""}) AS each
         GROUP BY is_channel"""  # noqa: S608  our own words only

    def channels(self, first: str = "") -> str:
        """The channels; of those that are kept no more than the first ones, which an index finds by itself."""
        names = ", ".join(lives.COLUMNS)
        which = f"{lives.WITHIN} AND is_channel AND order_id NOT IN (SELECT order_id FROM rest)"  # noqa: S608
        if first:
            which = f"order_id IN (SELECT order_id FROM orders_orderearned WHERE {which} {first})"  # noqa: S608
        kept = f" UNION ALL SELECT {names} FROM orders_orderearned WHERE {which}"  # noqa: S608  our own words only
        return f"""
        SELECT {names} FROM reckoned WHERE is_channel AND {lives.COUNTS} {kept if self.is_kept else ""}
        """  # noqa: S608  our own words only


#: How many sums a kept day has: of how many orders, and what these come to.
_WIDTH: Final = 1 + len(lives.SUMMED)
_CHANNEL: Final = (
    "c.order_id, named.node_pubkey, named.short_channel_id, c.capacity_sat, c.opened_at, o.closed_at, "
    + ", ".join(f"c.{name}" for name in lives.PARTS)
)
_NAMED: Final = f"""
  JOIN orders_channelorder o ON o.id = c.order_id
  JOIN LATERAL ({SOLD} AND a.order_id = c.order_id) AS named ON true
"""


#: Beyond it all are reckoned: so much is not kept when nobody has kept any for long.
_MOST_REST: Final = 20_000


def _asked(period: Period, now: datetime) -> _Asked:
    through = lives.kept_through()
    given = _given(period, now, through)
    rest = lives.rest(given) if through else []
    return _Asked({**given, "orders": rest}, through is not None and len(rest) <= _MOST_REST)


def _given(period: Period, now: datetime, through: date | None) -> dict[str, Any]:
    first, last = period.whole_days
    since, until = period.of_days.since, min(period.of_days.until, now)
    return {
        "first": first,
        "last": last,
        "since": min(since, until),
        "until": until,
        **lives.capital(),
        **lives.moved_after(through or date.min),
    }


def _channel(row: Sequence[Any]) -> ChannelEarned:
    order_id, pubkey, short_channel_id, capacity_sat, opened_at, closed_at, *parts = row
    return ChannelEarned(order_id, pubkey, short_channel_id, capacity_sat, opened_at, closed_at, _parts(parts))


def _parts(sums: Sequence[Any]) -> Parts:
    return _with_cost(Parts(**{name: int(each) for name, each in zip(lives.PARTS, sums, strict=True)}))


def _with_cost(parts: Parts) -> Parts:
    cost_msat = capital_cost_msat(parts.bound_msat_seconds, settings.CAPITAL_COST_PPM)
    return replace(parts, capital_cost_msat=cost_msat)
