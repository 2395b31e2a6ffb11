"""The backend that `DATABASES` names: each of its connections is prepared before anybody gets it."""

from __future__ import annotations

import os
import select
from typing import Any, Self

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from psycopg.pq import TransactionStatus

from orders.postgres import session

#: Processes that have looked whether their sessions are their own. By number, since a fork inherits the answer.
_looked: set[int] = set()


class Prepared(psycopg.Cursor[Any]):
    """Its statements are read and planned once for each connection. What is given to them goes beside them."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        """As psycopg has it."""
        return super().execute(query, params, prepare=True)

    def _send_query_prepared(self, name: bytes, pgq: Any, **more: Any) -> None:
        self._query = pgq  # psycopg leaves it out here, and Django reads it where statements are noted
        super()._send_query_prepared(name, pgq, **more)


class PreparedAsIs(psycopg.raw_cursor.RawCursorMixin["psycopg.Connection[Any]", Any], Prepared):
    """The same, of statements with `$1` and not `%s`: psycopg would read a long one anew each time."""


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL, with our time-outs and in sessions."""

    health_check_done: bool  # Django says no type of it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: What was read over this connection and is worth keeping. Another connection may be to another database.
        self.kept: dict[str, Any] = {}

    def prepared(self, kind: type[psycopg.Cursor[Any]] = Prepared) -> CursorWrapper:
        """A cursor for what is asked over and over, written out: the same text each time, with nothing of Django's.

        Django binds in the client, so that PostgreSQL plans each statement anew: of one that is long this takes several
        times as long as running it.
        """
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(kind(self.connection))  # type: ignore[attr-defined, no-any-return]

    def close_if_health_check_failed(self) -> None:
        """As Django has it; but a line that nobody has ended is not asked whether it is there, at each request anew.

        One that is dead without a word would keep who asks waiting as long as who works.
        """
        if not self.health_check_done and _is_quiet(self.connection):
            self.health_check_done = True
        super().close_if_health_check_failed()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection on which the time-outs hold, never one without them.

        Raises: PooledByTransaction.
        """
        line = super().get_new_connection(conn_params)
        try:
            line.autocommit = True  # Django sets next what it wants
            _look_once(line, conn_params)
            session.prepare(line)  # not before the look: it would change what others share
            line.prepare_threshold = 0  # concerns `prepared` alone: what binds in the client is never prepared
        except BaseException:
            line.close()
            raise
        self.kept = {}
        return line


def _is_quiet(line: psycopg.Connection[Any] | None) -> bool:
    """The server has said nothing since its last answer: not even that it ends, as it does before it goes."""
    if line is None or line.info.transaction_status is not TransactionStatus.IDLE:
        return False
    watch = select.poll()
    watch.register(line.fileno(), select.POLLIN)
    return not watch.poll(0)


def _look_once(line: psycopg.Connection[Any], conn_params: dict[str, Any]) -> None:
    """Each process looks at its first connection, with a second one for as long as that takes."""
    if os.getpid() in _looked:
        return
    with psycopg.connect(**conn_params, autocommit=True) as other:
        session.refuse_if_shared(line, other)
    _looked.add(os.getpid())
