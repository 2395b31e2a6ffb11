"""What a connection to PostgreSQL must be for us: one session, with our time-outs.

Advisory locks, `LISTEN` and these settings belong to a session. They are set by a statement after connecting, because
a pooler refuses or drops what a client asks for while it connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg

#: A process that froze with a row in its hands must not hold up the others for ever. As PostgreSQL itself writes them.
TIMEOUTS: Final = {"lock_timeout": "30s", "idle_in_transaction_session_timeout": "1min"}

SET: Final = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
#: One is enough where nobody else is at it; others may be served in between.
_ROUNDS: Final = 6


class PooledByTransaction(psycopg.OperationalError):
    """A pooler lends us its connections for one transaction at a time."""

    def __init__(self) -> None:
        super().__init__(
            "The database is reached through a pooler that works by transaction or statement, where locks, LISTEN and "
            "time-outs do not hold. Let it pool by session (PgBouncer: pool_mode = session), or connect directly."
        )


def wanted(settings: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What `SET` takes."""
    return list(settings), list(settings.values())


def prepare(line: psycopg.Connection[Any]) -> None:
    """The time-outs hold on this connection, which must commit each statement: a rollback takes them back.

    And nothing is prepared on it yet: a pooler that does not clean up lends us what another client has left, under the
    names that ours will have.
    """
    line.execute(SET, wanted(TIMEOUTS))
    line.execute("DEALLOCATE ALL")


def refuse_if_shared(line: psycopg.Connection[Any], other: psycopg.Connection[Any]) -> None:
    """Each of two connections has a server process of its own, for as long as it lives.

    A pooler that gives out what was used last gives both the same; one that gives out in turn gives `line` another.
    Raises: PooledByTransaction.
    """
    own = _server_process(line)
    for _ in range(_ROUNDS):
        if _server_process(line) != own or _server_process(other) == own:
            raise PooledByTransaction


def _server_process(line: psycopg.Connection[Any]) -> int:
    (pid,) = line.execute("SELECT pg_backend_pid()").fetchall()[0]
    return int(pid)
