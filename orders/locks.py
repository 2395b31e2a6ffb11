"""PostgreSQL's advisory locks: all of them in one table, so that no two are the same by accident.

They are for order and thrift. What makes money safe is the row lock of `transitions.locked`: an advisory lock goes
with a lost connection while its holder still runs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final
from uuid import UUID

from django.db import connection

from orders.errors import DATABASE_TROUBLE
from orders.postgres.line import line
from orders.postgres.rows import Call

log = logging.getLogger(__name__)

#: Held by the streams process on a connection of its own. Two numbers, as no other lock of ours is: "LSP", streams.
STREAMS: Final = (0x4C5350, 1)
#: Held by the process of the worker that waits for peers while no streams process is at work.
LANE: Final = (0x4C5350, 2)

_IS_HELD: Final = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = %s
               AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


class Lock(IntEnum):
    """What only one may do at a time."""

    SALES = 0x6C73700001  # counting the stock, until what was counted is promised
    BEGINNINGS = 0x6C73700002  # counting the attempts under way, until one more is recorded
    ALERTS = 0x6C73700003  # one round of alerts: two would tell everything twice
    SNAPSHOT = 0x6C73700004  # looking at the node for somebody who buys, and for all who do meanwhile
    COINS = 0x6C73700005  # making other coins of the wallet's
    BOOKS = 0x6C73700006  # booking what the wallet alone tells of
    CLOSINGS = 0x6C73700007  # closing what is expired: no more than so many a day
    FIGURES = 0x6C73700008  # reading the node's forwards, and adding days up
    SUMMARY = 0x6C73700010  # telling of the day
    WEBHOOKS = 0x6C73700011  # counting the webhooks, until one more is recorded
    PURCHASES = 0x6C73700012  # counting what was bought for payments to come, until one more is recorded
    SURPLUS = 0x6C73700013  # choosing which quotes end, of too many


def hold(lock: Lock) -> None:
    """It is ours until the transaction that is open ends; whoever else wants it waits."""
    with line().prepared() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(lock)])


def try_to_hold(lock: Lock) -> bool:
    """Whether it is ours until the transaction that is open ends; nobody waits."""
    with line().prepared() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int(lock)])
        return bool(cursor.fetchone()[0])


def together(lock: Lock, *, alone: int) -> tuple[Call, ...]:
    """Once these are called it is ours as it is others' who hold it so; who wants it for himself waits, and we for him.

    Of those who hold it so, one at a time has the number `alone`. Both are ours until the open transaction ends.
    """
    return Call("pg_advisory_xact_lock", (alone,)), Call("pg_advisory_xact_lock_shared", (int(lock),))


def client(client_hash: str) -> int:
    """The number of the client's own lock. Where two clients have one number they wait for each other, no more."""
    return int.from_bytes(hashlib.blake2b(client_hash.encode(), digest_size=8).digest(), signed=True)


def order(order_id: UUID) -> int:
    """The number of the order's own lock."""
    return int.from_bytes(order_id.bytes[:8], signed=True)


@contextmanager
def only_one(key: int) -> Iterator[bool]:
    """Whether we are the only one, for as long as the block lasts; nobody waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        row = cursor.fetchone()
    obtained = bool(row and row[0])
    try:
        yield obtained
    finally:
        if obtained:
            _unlock(key)


def is_held(numbers: tuple[int, int]) -> bool:
    """Somebody holds the lock of these two numbers, we perhaps."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_HELD, numbers)
        row = cursor.fetchone()
    return bool(row and row[0])


def _unlock(key: int) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
    except DATABASE_TROUBLE as error:
        log.warning("an advisory lock went with its connection: %s", error)
