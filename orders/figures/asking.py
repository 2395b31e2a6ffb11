"""How the statements of the figures are run, and words that a column may have kept to those that are known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django.db import connection

from orders.causes import CANCELLED, Cause
from orders.openings import reasons

#: Why an attempt failed or an order was given up, in the words that buyers know.
REASONS: Final = tuple(sorted(reasons.FINAL | reasons.PASSING | {CANCELLED}))
#: Whatever is none of them: as `reasons.known` has it.
OTHER_REASON: Final = "FAILED_OPENING"
CAUSES: Final = tuple(str(cause) for cause in Cause)
#: Of rows that are older than the journal's words.
OTHER_CAUSE: Final = "unknown"


def rows(sql: str, **given: Any) -> list[tuple[Any, ...]]:
    """What the statement answers."""
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall())


def words(values: Iterable[str]) -> list[str]:
    """Members of an enum, as the database takes them."""
    return sorted(str(value) for value in values)


def age_seconds(since: datetime, now: datetime) -> int:
    """How long ago it was; never below 0, whatever a clock says."""
    return max(0, int((now - since).total_seconds()))
