"""The one connection that makes us the process that works, and that hears the nudges.

Lock and LISTEN share it, so that they are lost together: whoever has lost the lock cannot go on listening.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from django.db import connection
from psycopg import AsyncConnection, sql

from orders.locks import LANE, STREAMS
from orders.nudges import CHANNEL, FOUND, NEW
from orders.postgres import session

log = logging.getLogger(__name__)

_HOLDER: Final = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
   AND classid = %s::int4::oid AND objid = %s::int4::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_STANDBY_SECONDS: Final = 1.0
_PING_SECONDS: Final = 10.0
#: A holder whose machine vanished keeps the lock until the server notices: within about 30 s.
_KEEPALIVE: Final = {"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
#: What Django adds for connections of its own.
_DJANGOS: Final = frozenset({"cursor_factory", "context", "prepare_threshold"})


def database() -> dict[str, Any]:
    """How to reach Django's database with a connection that Django knows nothing of."""
    parameters: dict[str, Any] = connection.get_connection_params()
    return {name: value for name, value in parameters.items() if name not in _DJANGOS}


@asynccontextmanager
async def alone(
    parameters: dict[str, Any], *, taken: Callable[[int], None] = lambda process: None
) -> AsyncIterator[AsyncConnection]:
    """Only we work, as long as the yielded connection lives; it listens already.

    Until then `taken` is told of each server process that another works by; it may be one of ours that has died, and
    that the server still believes in. Raises: psycopg.OperationalError.
    """
    async with _connected(parameters) as line:
        if not await _obtained(line, STREAMS):
            log.info("standing by: another streams process works")
            # Asked again and again: a statement that waits for the lock would hold back the database's clean-up.
            while not await _obtained(line, STREAMS):
                if (holder := await _holder(line)) is not None:
                    taken(holder)
                await asyncio.sleep(_STANDBY_SECONDS)
        for channel in (CHANNEL, NEW, FOUND):
            await line.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield line


@asynccontextmanager
async def lane(parameters: dict[str, Any]) -> AsyncIterator[AsyncConnection | None]:
    """Only we wait for peers on the worker's behalf, as long as the yielded connection lives; None: another does.

    Raises: psycopg.OperationalError.
    """
    async with _connected(parameters) as line:
        yield line if await _obtained(line, LANE) else None


@asynccontextmanager
async def _connected(parameters: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(**parameters, autocommit=True) as line:
        await line.execute(session.SET, session.wanted(session.TIMEOUTS | _KEEPALIVE))
        yield line


async def _obtained(line: AsyncConnection, lock: tuple[int, int] = STREAMS) -> bool:
    answer = await line.execute("SELECT pg_try_advisory_lock(%s::int4, %s::int4)", lock)
    row = await answer.fetchone()
    return bool(row and row[0])


async def _holder(line: AsyncConnection) -> int | None:
    """The server process that has the lock."""
    answer = await line.execute(_HOLDER, STREAMS)
    row = await answer.fetchone()
    return int(row[0]) if row else None


async def nudged(line: AsyncConnection, *, wants_new: Callable[[], bool]) -> AsyncIterator[tuple[UUID, str]]:
    """Each order that is nudged, and by which of the channels, for ever; new ones as long as they are wanted.

    Raises: psycopg.OperationalError when the connection is lost.
    """
    while True:
        async for notice in line.notifies(timeout=_PING_SECONDS):
            try:
                yield UUID(notice.payload), notice.channel
            except ValueError:
                log.warning("a nudge that names no order: %.50s", notice.payload)
        listens = sql.SQL("LISTEN {}" if wants_new() else "UNLISTEN {}").format(sql.Identifier(NEW))
        await line.execute(listens)  # each time: silence is no sign of life
