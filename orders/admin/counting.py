"""How many rows a list has: counted while that is cheap, then as PostgreSQL estimates them."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

#: Counting so many takes some milliseconds.
MOST_COUNTED: Final = 10_000
#: An estimate is told to so many digits, so that it looks like one.
_DIGITS: Final = 2


class Estimating(Paginator):
    """Pages of a list that may have millions of rows."""

    @cached_property
    def count(self) -> int:
        """Exactly, up to `MOST_COUNTED`."""
        rows: Any = self.object_list
        if not isinstance(rows, QuerySet):
            return super().count
        counted = rows.order_by()[: MOST_COUNTED + 1].count()
        return counted if counted <= MOST_COUNTED else max(MOST_COUNTED + 1, _estimated(rows))

    @property
    def is_estimated(self) -> bool:
        """The list has about so many."""
        return self.count > MOST_COUNTED

    def page(self, number: Any) -> Any:
        """Django leaves out what lies behind the count."""
        if not self.is_estimated:
            return super().page(number)
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        return Page(self.object_list[first : first + self.per_page], number, self)

    def validate_number(self, number: Any) -> int:
        """There may be more pages than estimated: one behind the last is empty."""
        return int(number) if self.is_estimated and int(number) > 0 else super().validate_number(number)


def _estimated(rows: QuerySet[Any]) -> int:
    plan = json.loads(rows.order_by().explain(format="json"))
    count = int(plan[0]["Plan"]["Plan Rows"])
    return round(count, _DIGITS - len(str(count)))
