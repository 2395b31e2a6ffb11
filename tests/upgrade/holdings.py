"""What a database holds, before the migrations and after them: rows, satoshis, and what stands in every column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.upgrade import database


@dataclass(frozen=True)
class Holdings:
    """All by the name of the table, or of table and column."""

    rows: dict[str, int]
    sums_sat: dict[str, int]
    values: dict[str, str]

    @classmethod
    def now(cls) -> Holdings:
        return cls(database.rows(), database.sums_sat(), database.values())


def losses(before: Holdings, after: Holdings, *, moved: Mapping[str, str], grown: frozenset[str]) -> list[str]:
    """A line for each table that has fewer rows or is gone, and for each column that says something else or is gone.

    `moved`: what is somewhere else now, and where; "": not compared. `grown`: tables that migrations add rows to.
    """
    return [
        *_different("rows", before.rows, after.rows, moved, grown),
        *_different("satoshis", before.sums_sat, after.sums_sat, moved, grown),
        *_different("values", before.values, after.values, moved, grown),
    ]


def _different(
    what: str, before: Mapping[str, Any], after: Mapping[str, Any], moved: Mapping[str, str], grown: frozenset[str]
) -> list[str]:
    compared = [name for name in before if name.partition(".")[0] not in grown and moved.get(name) != ""]
    now = {name: after.get(moved.get(name, name), "gone") for name in compared}
    return [f"{name}: {what} {before[name]}, now {there}" for name, there in now.items() if before[name] != there]
