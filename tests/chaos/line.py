"""The line between this process and PostgreSQL, which one chosen commit cuts: before it was done, or after."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from streams import standby

_ORDERS = str(Path(__file__).resolve().parents[2] / "orders")
#: Whoever calls these is who records.
_SHARED = ("transitions.py", "journal.py", "nudges.py")
_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


class Cut(Enum):
    """When the line breaks; whoever commits hears the same either way."""

    BEFORE_IT_WAS_DONE = "before"
    AFTER_IT_WAS_DONE = "after"


class Line:
    """Every commit of this thread's connection passes here, named by the function of `orders` that recorded."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: Counter[str] = Counter()
        self._planned: dict[tuple[str, int], Cut] = {}
        patch.setattr(BaseDatabaseWrapper, "_commit", self._committing(BaseDatabaseWrapper._commit))

    def plan(self, record: str, nth: int, cut: Cut) -> None:
        """The nth commit of this record, counted from one, cuts the line."""
        self._planned[record, nth] = cut

    @property
    def unmet(self) -> list[tuple[str, int]]:
        """What was planned for commits that were never made."""
        return [(record, nth) for record, nth in self._planned if self.made[record] < nth]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Statements that are their own transaction pass here too."""
        with connection.execute_wrapper(self._executing):
            yield

    def _committing(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        def commit(wrapper: Any) -> None:
            self._pass(lambda: original(wrapper))

        return commit

    def _executing(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if connection.in_atomic_block or not str(sql).lstrip().startswith(_WRITES):
            return execute(sql, params, many, context)
        return self._pass(lambda: execute(sql, params, many, context))

    def _pass(self, commit: Callable[[], Any]) -> Any:
        record = _recorder()
        if record is None:
            return commit()
        self.made[record] += 1
        planned = self._planned.get((record, self.made[record]))
        if planned is None:
            return commit()
        if planned is Cut.BEFORE_IT_WAS_DONE:
            cut()
            return commit()
        commit()
        cut()
        connection.connection.close()  # as the driver leaves it that waited for an answer
        raise OperationalError("server closed the connection unexpectedly")


def cut() -> None:
    """PostgreSQL has ended this thread's connection, and with it what was not committed."""
    pid = connection.connection.info.backend_pid
    with psycopg.connect(**standby.database(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def _recorder() -> str | None:
    """The innermost function of `orders` that is at it; None: a test's own doing."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if str(path).startswith(_ORDERS) and path.name not in _SHARED:
            return f"{path.stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return None
