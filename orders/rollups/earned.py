"""What orders have earned that nothing moves any more is kept: each once, and anew when something late has moved it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from orders.figures import lives
from orders.figures.tally import EVER
from orders.models import DayFigure, OrderEarned, RollUp, RollUpName, StaleOrder
from orders.rollups.days import SETTLES

#: In one transaction.
DAYS_AT_A_TIME: Final = 5
ORDERS_AT_A_TIME: Final = 2_000
#: The rest is for the next rounds.
SECONDS: Final = 60.0

_FIRST: Final = """
SELECT least((SELECT (min(at) AT TIME ZONE 'UTC')::date FROM orders_entry), (SELECT min(day) FROM orders_forwardday))
"""

_COLUMNS: Final = ", ".join(lives.COLUMNS)
_KEEP: Final = f"""{lives.THESE}
INSERT INTO orders_orderearned (is_over, counts, first_day, last_day, {_COLUMNS})
SELECT in_channels_msat = 0 AND last_day <= %(through)s, {lives.COUNTS}, first_day, last_day, {_COLUMNS}
  FROM reckoned
 WHERE {lives.COUNTS} OR first_day < last_day OR in_channels_msat <> 0 OR last_day > %(through)s
"""  # noqa: S608  our own words only

_SUMMED: Final = f"""
SELECT last_day AS day, ARRAY[first_day::text, CASE WHEN is_channel THEN 'channel' ELSE '' END] AS words,
       ARRAY[count(*), {", ".join(f"sum({name})" for name in lives.SUMMED)}] AS sums
  FROM orders_orderearned WHERE is_over AND counts AND last_day = ANY(%(days)s::date[]) GROUP BY 1, 2
"""  # noqa: S608  our own words only
_SUM: Final = f"""
INSERT INTO orders_dayfigure (figure, day, words, sums)
SELECT '{lives.FIGURE}', day, words, sums FROM ({_SUMMED}) AS each
"""  # noqa: S608  our own words only


def keep(seconds: float = SECONDS) -> int:
    """Orders that something has moved are kept anew, then those of the next days, for so long; how many there were.

    Repeat: safe, and goes on where it ended. The caller holds the lock of the figures.
    """
    until, made = time.monotonic() + seconds, 0
    for step in (_mend, _go_on):
        while (more := _whole(step)) is not None:
            made += more
            if time.monotonic() >= until:
                break
    return made


def rebuild() -> int:
    """All of them are kept anew; how many there are. Repeat: safe. The caller holds the lock of the figures."""
    RollUp.objects.filter(name=RollUpName.EARNED).update(meaning="")
    keep(float("inf"))
    return OrderEarned.objects.count()


def _whole(step: Callable[[RollUp], int | None]) -> int | None:
    with transaction.atomic():
        return step(_row())


def _row() -> RollUp:
    """How far orders are kept. Those of an older version, or of another cost of capital, are none."""
    meant = lives.meaning()
    row, _ = RollUp.objects.get_or_create(name=RollUpName.EARNED, defaults={"meaning": meant})
    if row.meaning != meant:
        DayFigure.objects.filter(figure=lives.FIGURE).delete()
        OrderEarned.objects.all()._raw_delete(OrderEarned.objects.db)
        row.meaning, row.through = meant, None
        row.save(update_fields=["meaning", "through"])
    return row


def _mend(row: RollUp) -> int | None:
    """Who moves an order while we look says so again: only what is seen is taken for mended. None: there is none."""
    found = StaleOrder.objects.order_by("order_id").values_list("order_id", flat=True).distinct()
    orders = list(found[:ORDERS_AT_A_TIME])
    StaleOrder.objects.filter(order_id__in=orders).delete()
    if row.through:
        _make(orders, row.through)
    return len(orders) or None


def _go_on(row: RollUp) -> int | None:
    """The orders that were moved on the next days that are over. None: there is no such day."""
    over = (timezone.now() - SETTLES).date() - timedelta(days=1)
    first = row.through + timedelta(days=1) if row.through else _first() or over
    if first > over:
        return None
    row.through = min(over, first + timedelta(days=DAYS_AT_A_TIME - 1))
    orders = [order for (order,) in _run(lives.MOVED, **lives.moved_between(first, row.through))]
    _make(orders, row.through)
    row.save(update_fields=["through"])
    return len(orders)


def _first() -> date | None:
    [[first]] = _run(_FIRST)
    return first  # type: ignore[no-any-return]  # a date, or nothing


def _make(orders: Sequence[UUID], through: date) -> None:
    kept = OrderEarned.objects.filter(order_id__in=orders)
    days = set(_ended(kept))
    kept._raw_delete(kept.db)
    _run(_KEEP, orders=list(orders), through=through, **_ever())
    days |= set(_ended(kept.all()))
    DayFigure.objects.filter(figure=lives.FIGURE, day__in=days).delete()
    _run(_SUM, days=list(days))


def _ended(kept: Any) -> Iterable[date]:
    return kept.filter(is_over=True).values_list("last_day", flat=True).distinct()  # type: ignore[no-any-return]


_ASTRAY: Final = f"""{lives.THESE}, now AS (
    SELECT first_day, last_day, {_COLUMNS} FROM reckoned WHERE in_channels_msat = 0 AND last_day = %(through)s
), kept AS (
    SELECT first_day, last_day, {_COLUMNS} FROM orders_orderearned WHERE order_id = ANY(%(orders)s)
)
SELECT DISTINCT order_id FROM ((SELECT * FROM now EXCEPT SELECT * FROM kept)
                               UNION ALL (SELECT * FROM kept EXCEPT SELECT * FROM now)) AS each
"""  # noqa: S608  our own words only
_SUMS_ASTRAY: Final = f"""
WITH kept AS (SELECT words, sums FROM orders_dayfigure WHERE figure = '{lives.FIGURE}' AND day = %(day)s),
     summed AS ({_SUMMED})
SELECT 1 FROM ((SELECT words, sums FROM kept EXCEPT SELECT words, sums FROM summed)
               UNION ALL (SELECT words, sums FROM summed EXCEPT SELECT words, sums FROM kept)) AS each LIMIT 1
"""  # noqa: S608  our own words only


def astray(day: date, most: int) -> list[UUID]:
    """Of the orders that ended on this day, so many at most, those that are kept as something else than they earned.

    All of them where their sum is not what they come to.
    """
    ended = OrderEarned.objects.filter(is_over=True, last_day=day)
    orders = list(ended.order_by("order_id").values_list("order_id", flat=True)[:most])
    if _run(_SUMS_ASTRAY, day=day, days=[day]):
        return orders
    return [order for (order,) in _run(_ASTRAY, orders=orders, through=day, **_ever())]


def _ever() -> dict[str, Any]:
    first, last = EVER.whole_days
    return {"first": first, "last": last, **EVER.given, **lives.capital()}


def _run(statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall() if cursor.description else []
