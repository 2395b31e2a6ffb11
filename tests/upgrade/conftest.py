"""An old shop for each test: a copy of its database in use, and its node running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django_q.conf import Conf

from lightning import connection
from lsp_site.running.embedded import EmbeddedPostgres
from tests.property.inside import InsideNode, Loop
from tests.regtest.processes import release_port
from tests.upgrade import database
from tests.upgrade.dump import OLDEST, Dump
from tests.upgrade.old_shop import OldShop

_LOADED, _COPY, _MIGRATED, _NEW = "upgrade_loaded", "upgrade_copy", "upgrade_migrated", "upgrade_new"


@pytest.fixture(scope="package")
def dump() -> Dump:
    return Dump.read(OLDEST)


@pytest.fixture(scope="package")
def later_seconds(dump: Dump) -> int:
    """How long ago the old server was stopped. Every moment in the dump is moved so far: it was stopped just now."""
    return int(time.time() - dump.at)


@pytest.fixture(scope="package")
def loaded(dump: Dump, later_seconds: int, postgres: EmbeddedPostgres, django_db_blocker: Any) -> Iterator[str]:
    """The dump in a database of its own; tests work on copies of it."""
    database.create(postgres, _LOADED)
    database.load(postgres.url(_LOADED), dump.database)
    with django_db_blocker.unblock(), database.in_use(_LOADED):
        database.later(later_seconds)
    yield _LOADED
    database.drop(postgres, _LOADED)


@pytest.fixture(scope="package")
def new_schema(postgres: EmbeddedPostgres, django_db_blocker: Any) -> set[tuple[Any, ...]]:
    """The tables of a database that today's migrations make from nothing."""
    database.create(postgres, _NEW)
    with django_db_blocker.unblock(), database.in_use(_NEW):
        call_command("migrate", interactive=False, verbosity=0)
        schema = database.schema()
    database.drop(postgres, _NEW)
    return schema


@pytest.fixture
def old_database(loaded: str, postgres: EmbeddedPostgres, django_db_blocker: Any) -> Iterator[None]:
    """Everything works on a copy of the old database, as no migration has touched it yet."""
    database.create(postgres, _COPY, template=loaded)
    with django_db_blocker.unblock(), database.in_use(_COPY):
        yield
    database.drop(postgres, _COPY)


@pytest.fixture(scope="package")
def migrate(postgres: EmbeddedPostgres) -> Iterator[Callable[[], None]]:
    """Migrates the database in use, of which nothing else has changed: who comes first does it, the others get his."""
    made: list[str] = []

    def migrated() -> None:
        if not made:
            call_command("migrate", interactive=False, verbosity=0)
        connections[DEFAULT_DB_ALIAS].close()  # whose database is copied, or gone
        if made:
            database.drop(postgres, _COPY)
            database.create(postgres, _COPY, template=_MIGRATED)
        else:
            database.create(postgres, _MIGRATED, template=_COPY)
            made.append(_MIGRATED)
        ContentType.objects.clear_cache()

    yield migrated
    database.drop(postgres, _MIGRATED)


@pytest.fixture
def old_shop(
    old_database: None,
    migrate: Callable[[], None],
    dump: Dump,
    later_seconds: int,
    loop: Loop,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[OldShop]:
    """The old shop, its node running; its database is still as it was."""
    dump.place_node(tmp_path / "node", later_seconds=later_seconds)
    node = InsideNode(loop, tmp_path / "node")
    node.start()
    node.look(lambda world: setattr(world, "save", lambda **_: None))  # what it learns here need not outlive it
    settings.LND_GRPC, settings.LND_NETWORK, settings.ONCHAIN_ENABLED = node.grpc_address, "regtest", True
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(node.tls_certificate), str(node.admin_macaroon)
    settings.PREIMAGE_KEY, settings.SECRET_KEY = dump.preimage_key, dump.secret_key
    monkeypatch.setattr(Conf, "SECRET_KEY", dump.secret_key)  # the queue's own copy
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    connection._node_of.cache_clear()
    yield OldShop(dump, node, migrate)
    node.kill()
    release_port(node.grpc_port)
