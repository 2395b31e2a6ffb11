"""This thread's connection, with what our own backend adds to it."""

from __future__ import annotations

from typing import cast

from django.db import DEFAULT_DB_ALIAS, connections

from orders.postgres.base import DatabaseWrapper


def line() -> DatabaseWrapper:
    """The one that Django calls `connection`."""
    return cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS])
