"""What is kept is held against what it comes from, a day after the other: it may be no second truth."""

from __future__ import annotations

import logging
from datetime import date
from typing import Final

from orders.figures import lives, tally
from orders.models import DayFigure, RollUp, RollUpName, StaleDay, StaleOrder
from orders.rollups import earned

log = logging.getLogger(__name__)

#: Of those that ended on a day.
MOST_ORDERS: Final = 2_000
_KEPT: Final = (RollUpName.FIGURES, RollUpName.EARNED)


def look() -> list[str]:
    """One more day was looked at; what of it was kept wrong. That is counted anew at once, and the doctor tells it.

    Repeat: safe; after the last day comes the first one. The caller holds the lock of the figures.
    """
    found = []
    for row in RollUp.objects.filter(name__in=_KEPT, through__isnull=False):
        day = _next(row)
        wrong = _figures(day) if row.name == RollUpName.FIGURES else _orders(day)
        if wrong:
            log.error("of %s %s was kept wrong: is it written by anybody else?", day, wrong)
            found.append(wrong)
            row.astray = f"{day}: {wrong}"[:200]
        row.looked_through = day
        row.save(update_fields=["looked_through", "astray"])
    return found


def _next(row: RollUp) -> date:
    """The next day of which anything is kept; after the last of them the first."""
    earned_ones = row.name == RollUpName.EARNED
    kept = DayFigure.objects.order_by("day").values_list("day", flat=True)
    kept = kept.filter(figure=lives.FIGURE) if earned_ones else kept.exclude(figure=lives.FIGURE)
    later = kept.filter(day__gt=row.looked_through).first() if row.looked_through else None
    return later or kept.first() or row.through  # type: ignore[return-value]  # of rows that have it


def _figures(day: date) -> str:
    wrong = tally.astray(day)
    if not wrong or StaleDay.objects.filter(day=day).exists():
        return ""  # what changed meanwhile has said so
    StaleDay.objects.create(day=day)
    return ", ".join(wrong)


def _orders(day: date) -> str:
    found = earned.astray(day, MOST_ORDERS)
    wrong = set(found) - set(StaleOrder.objects.filter(order_id__in=found).values_list("order_id", flat=True))
    StaleOrder.objects.bulk_create(StaleOrder(order_id=order) for order in wrong)
    return f"{len(wrong):,} orders" if wrong else ""
