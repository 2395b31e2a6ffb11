#!/usr/bin/env python
"""Django's command line, with a plain sentence where the database is not there."""

from __future__ import annotations

import os
import select
import sys


def main() -> None:
    """The command has run, and ends without a word when nobody reads on (`… | head`)."""
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _is_cut_off():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
        sys.exit(1)


def _is_cut_off() -> bool:
    """It is our own output that nobody reads; not a connection of the command's."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors are told in any case
    return bool(output.poll(0))


def _run() -> None:
    """The command has run. Exits with 1 and a sentence when the database is not there, or not as we need it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if sentence := _pooled_by_transaction(error) or _database_not_running():
            sys.exit(sentence)
        raise error


def _pooled_by_transaction(error: Exception) -> str | None:
    from orders.postgres.session import PooledByTransaction

    return str(error) if isinstance(error.__cause__, PooledByTransaction) else None


def _database_not_running() -> str | None:
    from django.conf import settings

    from lsp_site.running import beside, embedded

    if not settings.DATABASE_IS_EMBEDDED or embedded.is_running(settings.LSP_HOME):
        return None
    return (
        f"The embedded PostgreSQL of {settings.LSP_HOME} is not running: it lives as long as `make run`. "
        "Start the server in another terminal, or set DATABASE_URL." + beside.advice(settings.LSP_HOME, sys.argv[1:])
    )


if __name__ == "__main__":
    main()
