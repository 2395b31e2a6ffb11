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
_SEEN: Final = "SELECT pg_backend_pid(), array(SELECT current_setting(name) FROM unnest(%s::text[]) AS asked (name))"
#: A pooler that gives out its connections in turn is seen in a round or two; others may be asking at the same time.
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
    """The time-outs hold on this connection. It commits each statement, which is what Django sets next anyway."""
    line.autocommit = True
    line.execute(SET, wanted(TIMEOUTS))


def refuse_if_shared(line: psycopg.Connection[Any], other: psycopg.Connection[Any]) -> None:
    """Each of two connections has a server process of its own, and `line` keeps its settings.

    `line` is asked twice and `other` once, so that whatever order a pooler has, it does not suit both.
    Raises: PooledByTransaction.
    """
    own = _seen(line)
    for _ in range(_ROUNDS):
        if _seen(line) != own or _seen(line) != own or _seen(other)[0] == own[0]:
            raise PooledByTransaction
    if own[1] != list(TIMEOUTS.values()):
        raise PooledByTransaction


def _seen(line: psycopg.Connection[Any]) -> tuple[int, list[str]]:
    """Whom we talk to, and what holds there."""
    pid, settings = line.execute(_SEEN, [list(TIMEOUTS)]).fetchall()[0]
    return pid, settings
