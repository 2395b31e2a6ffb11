"""The backend that `DATABASES` names: each of its connections is prepared before anybody gets it."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from orders.postgres import session

#: Processes that have looked whether their sessions are their own. By number, since a fork inherits the answer.
_looked: set[int] = set()


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL, with our time-outs and in sessions."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection on which the time-outs hold, never one without them.

        Raises: PooledByTransaction.
        """
        line = super().get_new_connection(conn_params)
        try:
            line.autocommit = True  # Django sets next what it wants
            _look_once(line, conn_params)
            session.prepare(line)  # not before the look: it would change what others share
        except BaseException:
            line.close()
            raise
        return line


def _look_once(line: psycopg.Connection[Any], conn_params: dict[str, Any]) -> None:
    """Each process looks at its first connection, with a second one for as long as that takes."""
    if os.getpid() in _looked:
        return
    with psycopg.connect(**conn_params, autocommit=True) as other:
        session.refuse_if_shared(line, other)
    _looked.add(os.getpid())
