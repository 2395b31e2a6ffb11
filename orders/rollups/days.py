"""Days are added up from what they come from: in SQL, of as many days at once as there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from orders.figures.lives import PARTS_OF_LEGS
from orders.models import RollUp, RollUpName

#: Whoever posts an entry has its moment before it is there: a day is over for good so long after it ended.
SETTLES: Final = timedelta(hours=1)

_MONEY: Final = f"""
INSERT INTO orders_moneyday (day, sale_fees_msat, open_cost_msat, bump_cost_msat, close_cost_msat, refund_cost_msat,
                             refund_borne_msat, losses_msat, channels_msat, channels_msat_seconds)
SELECT day, {PARTS_OF_LEGS},
       coalesce(sum(amount_msat) FILTER (WHERE account = 'channels'), 0),
       floor(coalesce(sum(amount_msat * extract(epoch FROM ((day + 1)::timestamp AT TIME ZONE 'UTC') - at))
                      FILTER (WHERE account = 'channels'), 0))
  FROM (SELECT (e.at AT TIME ZONE 'UTC')::date AS day, e.at, e.kind, l.account, l.amount_msat
          FROM orders_entry e JOIN orders_leg l ON l.entry_id = e.id
         WHERE e.at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
           AND e.at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC') AS each
 GROUP BY day
"""  # noqa: S608  our own words only

_STOCK: Final = """
INSERT INTO orders_stockday (day, samples, least_available_sat, sold_sat, total_sat, promised_sat, free_sat,
                             available_sat, reserved_sat, deep_sat, deep_coins, leased_sat, young_sat)
SELECT DISTINCT ON (day) day, count(*) OVER of_day, min(available_sat) OVER of_day, sold_sat, total_sat, promised_sat,
       free_sat, available_sat, reserved_sat, deep_sat, deep_coins, leased_sat, young_sat
  FROM (SELECT (at AT TIME ZONE 'UTC')::date AS day, * FROM orders_stocksample
         WHERE at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
           AND at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC') AS each
WINDOW of_day AS (PARTITION BY day)
 ORDER BY day, at DESC
"""

#: Stretches that overlap count once: two processes of one name may have begun together.
_UPTIME: Final = """
INSERT INTO orders_uptimeday (day, name, up_seconds, counted_seconds)
SELECT day, name,
       (SELECT coalesce(floor(sum(extract(epoch FROM upper(part) - lower(part)))), 0)
          FROM unnest((SELECT range_agg(tstzrange(greatest(since, begins), least(until, ends)))
                         FROM orders_alive a
                        WHERE a.name = born.name AND since < ends AND until > begins)) AS part),
       floor(extract(epoch FROM ends - greatest(begins, born.at)))
  FROM (SELECT name, min(since) AS at FROM orders_alive GROUP BY name) AS born
  CROSS JOIN (SELECT at::date AS day, at AT TIME ZONE 'UTC' AS begins,
                     least((at + interval '1 day') AT TIME ZONE 'UTC', %(now)s) AS ends
                FROM generate_series(%(since)s::date::timestamp, %(last)s::date::timestamp, interval '1 day') AS at
             ) AS days
 WHERE born.at < ends
"""

_ROUTING: Final = """
INSERT INTO orders_forwardday (node_id, day, channel_in, channel_out, forwards, in_msat, out_msat)
SELECT node_id, day, channel_in, channel_out, count(*), sum(in_msat), sum(out_msat)
  FROM orders_forward WHERE day >= %(since)s::date AND day <= %(last)s::date
 GROUP BY node_id, day, channel_in, channel_out
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the days of one kind are added up, where they stand, and the first of which there is anything."""

    add: str
    table: str
    first: str
    #: Days that are not over have a row too, which is made anew each time.
    has_today: bool = True


KINDS: Final[dict[RollUpName, _Kind]] = {
    RollUpName.MONEY: _Kind(
        _MONEY, "orders_moneyday", "SELECT (min(at) AT TIME ZONE 'UTC')::date FROM orders_entry", has_today=False
    ),
    RollUpName.STOCK: _Kind(
        _STOCK, "orders_stockday", "SELECT (min(at) AT TIME ZONE 'UTC')::date FROM orders_stocksample"
    ),
    RollUpName.UPTIME: _Kind(
        _UPTIME, "orders_uptimeday", "SELECT (min(since) AT TIME ZONE 'UTC')::date FROM orders_alive"
    ),
    # Added up as they are read: only made anew.
    RollUpName.ROUTING: _Kind(_ROUTING, "orders_forwardday", "SELECT min(day) FROM orders_forward"),
}
ADDED_UP: Final = (RollUpName.MONEY, RollUpName.STOCK, RollUpName.UPTIME)


def add_up(name: RollUpName) -> int:
    """The days that are over are added up for good, and the others as far as they have come; how many rows.

    Repeat: safe. The caller holds the lock of the figures.
    """
    with transaction.atomic():
        row, _ = RollUp.objects.get_or_create(name=name)
        first = row.through + timedelta(days=1) if row.through else _first(name)
        return _make(name, first, row) if first else 0


def rebuild(name: RollUpName) -> int:
    """Every day of which all is still there that it comes from is added up anew; how many rows. Others stay.

    Repeat: safe. The caller holds the lock of the figures.
    """
    with transaction.atomic():
        row, _ = RollUp.objects.get_or_create(name=name)
        first = _first(name)
        whole_from = max(first, row.whole_from) if first and row.whole_from else first
        return _make(name, whole_from, row) if whole_from else 0


def _first(name: RollUpName) -> date | None:
    [[first]] = _run(KINDS[name].first)
    return first  # type: ignore[no-any-return]  # a date, or nothing


def _make(name: RollUpName, first: date, row: RollUp) -> int:
    kind, now = KINDS[name], timezone.now()
    over = (now - SETTLES).date() - timedelta(days=1)
    last = now.date() if kind.has_today else over
    _run(f"DELETE FROM {kind.table} WHERE day >= %(since)s", since=first)  # noqa: S608  our own words only
    made = _run(kind.add, since=first, last=last, now=now) if first <= last else 0
    RollUp.objects.filter(pk=row.pk).update(through=max(over, row.through or over))
    return made if isinstance(made, int) else 0


def _run(statement: str, **given: Any) -> Any:
    """The rows, or how many were written."""
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall() if cursor.description else cursor.rowcount
