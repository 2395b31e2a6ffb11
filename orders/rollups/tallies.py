"""Figures of days that are over are kept: each day once, and anew when something late has changed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from orders.figures import tally
from orders.figures.kinds import KINDS, MEANING
from orders.models import DayFigure, RollUp, RollUpName, StaleDay
from orders.rollups.days import SETTLES

#: In one transaction: what is read meanwhile is as it was before.
AT_A_TIME: Final = 20
#: The rest is for the next rounds: a shop that has sold for years is not held up by its first one.
SECONDS: Final = 20.0

_NAMES: Final = [kind.name for kind in KINDS]

#: The first day on which there is anything: whatever is entered before it later makes its day stale.
_FIRST: Final = """
SELECT (least((SELECT min(created_at) FROM orders_channelorder), (SELECT min(created_at) FROM orders_channelopening),
              (SELECT min(paid_at) FROM orders_channelorder WHERE paid_at IS NOT NULL),
              (SELECT min(opened_at) FROM orders_channelorder WHERE opened_at IS NOT NULL),
              (SELECT min(closed_at) FROM orders_channelorder WHERE closed_at IS NOT NULL)) AT TIME ZONE 'UTC')::date
"""


def keep(seconds: float = SECONDS) -> int:
    """Days that something has changed are kept anew, then those that are over, for so long; how many were.

    Repeat: safe, and goes on where it ended. The caller holds the lock of the figures.
    """
    until, made = time.monotonic() + seconds, 0
    for step in (_mend, _go_on):
        while (more := _whole(step)) and time.monotonic() < until:
            made += more
        made += more
    return made


def rebuild() -> int:
    """All of them are kept anew; how many rows there are. Repeat: safe. The caller holds the lock of the figures."""
    RollUp.objects.filter(name=RollUpName.FIGURES).update(meaning="")
    keep(float("inf"))
    return DayFigure.objects.filter(figure__in=_NAMES).count()


def _whole(step: Callable[[RollUp], int]) -> int:
    with transaction.atomic():
        return step(_row())


def _row() -> RollUp:
    """How far days are kept. Those of an older version, which may have meant something else, are none."""
    row, _ = RollUp.objects.get_or_create(name=RollUpName.FIGURES, defaults={"meaning": MEANING})
    if row.meaning != MEANING:
        DayFigure.objects.filter(figure__in=_NAMES).delete()
        row.meaning, row.through = MEANING, None
        row.save(update_fields=["meaning", "through"])
    return row


def _mend(row: RollUp) -> int:
    """Who changes a day while we look says so again: only what is seen is taken for mended."""
    days = list(StaleDay.objects.order_by("day").values_list("day", flat=True).distinct()[:AT_A_TIME])
    StaleDay.objects.filter(day__in=days).delete()
    _make([day for day in days if row.through and day <= row.through])
    return len(days)


def _go_on(row: RollUp) -> int:
    """The next days that are over."""
    over = (timezone.now() - SETTLES).date() - timedelta(days=1)
    first = row.through + timedelta(days=1) if row.through else _first() or over
    days = [first + timedelta(days=number) for number in range(min(AT_A_TIME, (over - first).days + 1))]
    if days:
        _make(days)
        row.through = days[-1]
        row.save(update_fields=["through"])
    return len(days)


def _first() -> date | None:
    [[first]] = _run(_FIRST)
    return first  # type: ignore[no-any-return]  # a date, or nothing


def _make(days: Sequence[date]) -> None:
    DayFigure.objects.filter(day__in=days, figure__in=_NAMES).delete()
    asked = tally.whole(days)
    for kind in KINDS if days else ():
        counted, given = tally.counted(kind, asked)
        _run(
            f"INSERT INTO orders_dayfigure (figure, day, words, sums)"  # noqa: S608  our own words only
            f" SELECT %(figure)s, at::date, words, sums FROM ({counted}) AS each",
            figure=kind.name,
            **given,
        )


def _run(statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall() if cursor.description else []
