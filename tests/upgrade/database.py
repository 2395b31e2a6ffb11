"""Databases made from a dump, and what is in one: by SQL alone, which no model that moves can break."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from lsp_site.running.embedded import EmbeddedPostgres

Rows = list[tuple[Any, ...]]

_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND {} ORDER BY 1, 2
"""
_PRIMARY_KEYS = """
SELECT conrelid::regclass::text, attname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid
WHERE contype = 'p' AND attnum = conkey[1] AND connamespace = 'public'::regnamespace
"""
#: What makes two databases one and the same to the code: every column, constraint and index.
_SCHEMA = {
    "column": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity,
               collation_name
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "constraint": """
        SELECT conrelid::regclass::text, conname, contype::text, condeferrable, condeferred, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1, 2""",
    "index": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    "sequence": "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1",
}
_CASTS_AND_BRACKETS = re.compile(r"::(?:text|character varying)(?:\[\])?|[()]")


def create(server: EmbeddedPostgres, name: str, *, template: str = "template0") -> None:
    """There is a database of this name, as its template is."""
    with closing(psycopg.connect(server.url("postgres"), autocommit=True)) as aside:
        aside.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))


def drop(server: EmbeddedPostgres, name: str) -> None:
    """There is none, whoever was connected."""
    with closing(psycopg.connect(server.url("postgres"), autocommit=True)) as aside:
        aside.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def load(url: str, dump: str) -> None:
    """The empty database has what the plain dump has. psql's own commands in it are none of SQL's."""
    statements = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(statements.encode())


@contextmanager
def in_use(name: str) -> Iterator[None]:
    """Everything in this thread works on this database."""
    usual = connections[DEFAULT_DB_ALIAS]
    ours = usual.copy()
    ours.settings_dict["NAME"] = name
    connections[DEFAULT_DB_ALIAS] = ours
    ContentType.objects.clear_cache()  # another database, other numbers
    try:
        yield
    finally:
        ours.close()
        connections[DEFAULT_DB_ALIAS] = usual
        ContentType.objects.clear_cache()


def later(seconds: float) -> None:
    """Every moment in every table of the database in use is so much later; earlier, with less than 0.

    But for the books and the trail, which stand: nothing is compared with their moments.
    """
    by_table: dict[str, list[str]] = {}
    for table, column in select(_COLUMNS.format("data_type = 'timestamp with time zone'")):
        if table not in {"orders_entry", "orders_auditentry"}:
            by_table.setdefault(table, []).append(column)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        for table, columns in by_table.items():
            moved = ", ".join(f'"{column}" = "{column}" + make_interval(secs => %(seconds)s)' for column in columns)
            cursor.execute(f'UPDATE "{table}" SET {moved}', {"seconds": seconds})


def rows() -> dict[str, int]:
    """How many rows each table has."""
    tables = sorted({table for table, _ in select(_COLUMNS.format("TRUE"))})
    return {table: int(select(f'SELECT count(*) FROM "{table}"')[0][0]) for table in tables}


def sums_sat() -> dict[str, int]:
    """What each column that holds satoshis has, all rows together."""
    return {
        f"{table}.{column}": int(select(f'SELECT coalesce(sum("{column}"), 0) FROM "{table}"')[0][0])
        for table, column in select(_COLUMNS.format(r"column_name LIKE '%\_sat'"))
    }


def values() -> dict[str, str]:
    """What each column has, from its first row to its last: a digest. Another value anywhere gives another one."""
    keys: dict[str, str] = dict(select(_PRIMARY_KEYS))
    columns = select(_COLUMNS.format("TRUE"))
    return {f"{table}.{column}": str(select(_digest(table, column, keys[table]))[0][0]) for table, column in columns}


def _digest(table: str, column: str, key: str) -> str:
    each = f"""string_agg(coalesce("{column}"::text, 'null'), ' ' ORDER BY "{key}")"""
    return f"""SELECT md5(coalesce({each}, '')) FROM "{table}" """


def schema() -> set[tuple[Any, ...]]:
    """Every column, constraint, index and sequence, each as a line that says all of it.

    A condition that went through a dump has its casts and its brackets elsewhere: they are left out.
    """
    return {(kind, *map(_plain, line)) for kind, query in _SCHEMA.items() for line in select(query)}


def _plain(word: Any) -> Any:
    return _CASTS_AND_BRACKETS.sub("", word) if isinstance(word, str) else word


def execute(statement: str) -> None:
    """It is done, in the database in use."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(statement)


def select(query: str) -> Rows:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(query)
        found: Rows = cursor.fetchall()
    return found
