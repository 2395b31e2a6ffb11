"""The books of rows that factories made: as if each had been posted when it came to be."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import connection


def carry() -> None:
    """Every row of today has its entry, as an upgrade makes it. Once in a test: there are no entries yet."""
    migration: Any = import_module("orders.migrations.0021_the_books")
    with connection.cursor() as cursor:
        cursor.execute(migration.CARRIED)
