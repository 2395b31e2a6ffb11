"""A connection is kept from one request to the next, and not asked each time whether it is there."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import psycopg
import pytest
from django.db import connection

from orders.postgres import base
from streams import standby

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """As in a server: between two requests nothing is known of the connection."""
    connection.ensure_connection()
    connection.health_check_enabled = True
    connection.health_check_done = False
    yield
    connection.close()


def answered() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return int(cursor.fetchone()[0])


def end_it() -> None:
    """Its server process ends, as when the database restarts."""
    with psycopg.connect(**standby.database(), autocommit=True) as other:
        ours = connection.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [ours])


def test_a_line_that_nobody_has_ended_is_not_asked() -> None:
    with patch.object(base.DatabaseWrapper, "is_usable", side_effect=AssertionError("it was asked")):
        assert answered() == 1
    assert connection.health_check_done


def test_one_that_was_ended_is_replaced_before_anything_is_asked() -> None:
    before = connection.connection
    end_it()
    assert answered() == 1 and connection.connection is not before


def test_control_who_does_not_listen_finds_it_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    end_it()
    monkeypatch.setattr(base, "_is_quiet", lambda line: line is not None)
    with pytest.raises(connection.Database.OperationalError):
        connection.cursor().__enter__().cursor.execute("SELECT 1")


def test_one_that_was_left_in_a_transaction_is_asked() -> None:
    connection.connection.execute("BEGIN")
    with patch.object(base.DatabaseWrapper, "is_usable", return_value=True) as asked:
        assert answered() == 1
    assert asked.called
    connection.connection.execute("ROLLBACK")
