"""Rows that are read by a key again and again: Django writes its statement once, and PostgreSQL plans it once.

With all that Django joins to an order, writing that statement anew takes several times as long as running it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable
from django.db.models.sql.compiler import SQLCompiler

from orders.postgres.line import line

Row = TypeVar("Row", bound=Model)

#: Stands for the key where the statement is written: of no row.
_KEY: Final = UUID(int=0)


class _Written(NamedTuple):
    """A statement, what is given to it, and who wrote it, who reads its answer too."""

    sql: str
    given: Sequence[Any]
    compiler: SQLCompiler


class ByKey(Generic[Row]):
    """Reads of what `rows` says those with a key, with what is joined to them and annotated, as Django would."""

    def __init__(self, rows: Callable[[], QuerySet[Row]], key: str = "pk") -> None:
        self._rows, self._key = rows, key
        self._written: _Written | None = None

    def get(self, key: UUID) -> Row | None:
        """The one that there is, read anew. Raises: django.db.Error."""
        return next(iter(self.all(key)), None)

    def all(self, key: UUID) -> list[Row]:
        """All that there are, read anew. Raises: django.db.Error."""
        if self._written is None:
            self._written = _write(self._rows().filter(**{self._key: _KEY}))
        sql, given, compiler = self._written
        with line().prepared() as cursor:
            cursor.execute(sql, [key if each == _KEY else each for each in given])
            found = cursor.fetchall()
        answer: Any = _Answer(compiler, found)
        return list(ModelIterable(answer))


def _write(rows: QuerySet[Row]) -> _Written:
    compiler = rows.query.get_compiler(using=DEFAULT_DB_ALIAS)
    sql, given = compiler.as_sql()
    return _Written(sql, given, compiler)


class _Answer:
    """What Django's iterable asks of a queryset, of its query and of its compiler: the rows are there already."""

    db: ClassVar = DEFAULT_DB_ALIAS
    _known_related_objects: ClassVar[Mapping[Any, Any]] = {}

    def __init__(self, compiler: SQLCompiler, found: list[Any]) -> None:
        self.query, self._compiler, self._found = self, copy(compiler), found
        self._compiler.connection = line()
        self.select, self.klass_info = compiler.select, compiler.klass_info
        self.annotation_col_map = compiler.annotation_col_map

    def get_compiler(self, using: str) -> _Answer:
        """Nobody compiles anything."""
        return self

    def execute_sql(self, **_: Any) -> list[list[Any]]:
        """In one chunk."""
        return [self._found]

    def results_iter(self, results: list[list[Any]]) -> Iterator[Any]:
        """As the fields have them."""
        return self._compiler.results_iter(results)
