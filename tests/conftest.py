"""What every test may ask for. The embedded PostgreSQL is started once for a session, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from lsp_site.running.embedded import EmbeddedPostgres
from orders import outage

pytest_plugins = ["tests.regtest.fixtures", "tests.clients.ldk.fixtures", "tests.simulator.fixtures"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The running PostgreSQL of this session: the settings point at its socket."""
    server = EmbeddedPostgres(settings.LSP_HOME, durable=False)
    with (settings.LSP_HOME / "postgres.log").open("wb") as log:
        server.start(output=log)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: EmbeddedPostgres) -> None:
    """pytest-django asks for this before it makes the test database."""


@pytest.fixture(scope="session")
def database_url(postgres: EmbeddedPostgres, django_db_setup: None) -> str:
    """The test database, as DATABASE_URL for a process that a test starts (with `transactional_db`)."""
    return postgres.url(settings.DATABASES["default"]["NAME"])


@pytest.fixture(autouse=True)
def _no_outage_is_remembered() -> None:
    """What the process learnt of one test's node is nothing to the next test."""
    outage._of_node.cache_clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the network itself come first: they want it as it begins, and leave it as others can use it."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/regtest/", "tests/contract/")))
