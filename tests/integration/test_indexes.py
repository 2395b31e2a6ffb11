"""Indexes that are built while the shop runs: there in the end, whatever was before, and nobody waits for them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState
from django.db.transaction import atomic
from django.db.utils import NotSupportedError

from orders.postgres.indexes import IndexBesideOthers

pytestmark = pytest.mark.django_db(transaction=True)

BUILT: list[Any] = [
    each
    for name in ("0029_indexes_beside_sales", "0031_when_leases_end")
    for each in import_module(f"orders.migrations.{name}").Migration.operations
    if isinstance(each, IndexBesideOthers)
]


def build(operation: Any) -> None:
    state = ProjectState.from_apps(apps)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("orders", editor, state, state)


def told(name: str) -> tuple[int, bool, str]:
    """Which it is, whether it serves, and how it is made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::bigint, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indexrelid = %s::regclass",
            [name],
        )
        [row] = cursor.fetchall()
    return row


def say(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("operation", BUILT, ids=lambda each: each.index.name)
def test_a_database_that_has_it_keeps_it_and_one_that_has_not_gets_it(operation: Any) -> None:
    name = operation.index.name
    before = told(name)
    build(operation)
    assert told(name) == before
    say(f"DROP INDEX {name}")
    build(operation)
    assert told(name)[1:] == (True, before[2])


def test_what_a_death_has_left_half_built_is_built_anew_and_so_is_one_of_an_older_shape() -> None:
    [operation] = [each for each in BUILT if each.index.name == "order_state"]
    _, _, made = told("order_state")
    say("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'order_state'::regclass")
    build(operation)
    assert told("order_state")[1:] == (True, made)
    say("DROP INDEX order_state")
    say("CREATE INDEX order_state ON orders_channelorder (state, created_at)")
    build(operation)
    assert told("order_state")[1:] == (True, made)


def test_it_waits_as_long_as_others_take_and_leaves_our_patience_as_it_was() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        before = cursor.fetchone()
        say("DROP INDEX order_paid")
        build(next(each for each in BUILT if each.index.name == "order_paid"))
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == before != ("0",)


def test_control_within_a_transaction_it_would_lock_the_table_and_is_refused() -> None:
    with connection.cursor() as cursor, pytest.raises(NotSupportedError), atomic():
        cursor.execute("DROP INDEX order_paid")
        build(next(each for each in BUILT if each.index.name == "order_paid"))


def test_no_migration_that_a_running_shop_meets_locks_a_table_of_orders_to_build_an_index() -> None:
    """From the first that shops have met while they sold: what it adds to tables that it does not make."""
    from django.db import migrations
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(connection)
    found = []
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app != "orders" or name < "0026":
            continue
        new = {op.name.lower() for op in migration.operations if isinstance(op, migrations.CreateModel)}
        found += [
            f"{name}: {op.index.name}"
            for op in migration.operations
            if isinstance(op, migrations.AddIndex) and not isinstance(op, IndexBesideOthers)
            if op.model_name.lower() not in new
        ]
    assert not found
