"""Rows that come to be together are written by one statement, which PostgreSQL plans once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Model

from orders.postgres.base import PreparedAsIs
from orders.postgres.line import line

_TABLE: Final = '{name} AS (INSERT INTO "{table}" ({columns}) VALUES ({values}) RETURNING 1)'


class Call(NamedTuple):
    """A function of PostgreSQL, and what is given to it."""

    function: str
    given: tuple[Any, ...]


def insert(*rows: Model, calls: Sequence[Call]) -> None:
    """All of these new rows are there, or none; and the functions are called in this order, with the same statement.

    What Django would write, in one statement instead of one for each row. Keys that the database numbers stay unknown
    to the rows. Raises: django.db.Error.
    """
    given = [_text(getattr(row, name)) for row in rows for name in _names(type(row))]
    asked = _statement(tuple(map(type, rows)), tuple((call.function, len(call.given)) for call in calls))
    with line().prepared(PreparedAsIs) as cursor:
        cursor.execute(asked, [*given, *(_text(value) for call in calls for value in call.given)])
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


@lru_cache(maxsize=64)
def _statement(models: tuple[type[Model], ...], calls: tuple[tuple[str, int], ...]) -> str:
    numbers, names = count(1), [f"row_{place}" for place, _ in enumerate(models)]
    tables = ",\n".join(_table(name, model, numbers) for name, model in zip(names, models, strict=True))
    called = ", ".join(f"{name}({', '.join(f'${next(numbers)}' for _ in range(given))})" for name, given in calls)
    return f"WITH {tables}\nSELECT {called} FROM {', '.join(names)}"


def _table(name: str, model: type[Model], numbers: Iterator[int]) -> str:
    columns = [field.column for field in _fields(model)]
    return _TABLE.format(
        name=name,
        table=model._meta.db_table,
        columns=", ".join(f'"{column}"' for column in columns),
        values=", ".join(f"${next(numbers)}" for _ in columns),
    )


@lru_cache(maxsize=64)
def _names(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in _fields(model))


def _fields(model: type[Model]) -> list[Any]:
    return [field for field in model._meta.concrete_fields if not field.db_returning]


def _text(value: Any) -> str | None:
    """As PostgreSQL reads it, whose columns say what it is: so the statement is the same whatever is empty."""
    if value is None or type(value) is str:  # most are
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)
