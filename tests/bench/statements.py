"""What PostgreSQL has to do for us: statements, and the rows that it looks at for them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection

#: Tables that grow with every order ever made: no pass may read one of them whole.
GROWING = frozenset(
    {
        "orders_channelorder",
        "orders_holdinvoice",
        "orders_channelopening",
        "orders_wallettransaction",
        "orders_onchainpayment",
        "orders_orderevent",
        "orders_flag",
        "orders_reservation",
        "orders_entry",
        "orders_leg",
        "orders_refund",
    }
)


class Statement(NamedTuple):
    """One statement as it was executed."""

    sql: str
    given: Any


@contextmanager
def noted(seen: list[Statement]) -> Iterator[None]:
    """Every statement of this thread is noted with what was given to it."""

    def note(execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        seen.append(Statement(sql, given))
        return execute(sql, given, many, context)

    with connection.execute_wrapper(note):
        yield


def rows_read(statements: Iterable[Statement]) -> Counter[str]:
    """How many rows of each growing table PostgreSQL looks at for the SELECTs among these, executed once more."""
    read: Counter[str] = Counter()
    for statement in statements:
        if _only_reads(statement.sql.lstrip().upper()):
            for table, rows in looked_at(explained(statement, "ANALYZE")):
                read[table] += rows
    return Counter({table: rows for table, rows in read.items() if table in GROWING})


def explained(statement: Statement, *options: str) -> dict[str, Any]:
    """PostgreSQL's plan of the statement; with ANALYZE it is executed once more."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN ({', '.join([*options, 'FORMAT JSON'])}) {statement.sql}", statement.given)
        found = cursor.fetchone()[0]
    return dict((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from their first page to their last."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from scanned(below)


def _only_reads(sql: str) -> bool:
    return sql.startswith("SELECT") or (sql.startswith("WITH") and not re.search("INSERT|UPDATE|DELETE", sql))


def looked_at(plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Each table that a plan scans, with the rows that it took up there, also those that it left out."""
    if "Relation Name" in plan and "Scan" in plan["Node Type"]:
        dropped = sum(plan.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        yield plan["Relation Name"], round((plan["Actual Rows"] + dropped) * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from looked_at(below)
