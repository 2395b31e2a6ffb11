"""What every test may ask for. The embedded PostgreSQL is started once for a session, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import TransactionTestCase

from lsp_site.running.embedded import EmbeddedPostgres
from orders import outage
from tests.emptying import empty
from tests.real_nodes import has_real_nodes

pytest_plugins = [
    "tests.regtest.fixtures",
    "tests.clients.ldk.fixtures",
    "tests.simulator.fixtures",
    "tests.chaos.tally",
]


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


@pytest.fixture(scope="session", autouse=True)
def _emptied_quickly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture(autouse=True)
def _no_outage_is_remembered() -> None:
    """What the process learnt of one test's node is nothing to the next test."""
    outage._of_node.cache_clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the tests that find the database as the migrations have made it, and leave it so: others empty it.

    Then the tests of the network itself, which want it as it begins and leave it as others can use it. The others on
    real nodes follow at once: beside them there are still tests enough for a second process.
    """
    items.sort(key=_turn)
    for item in items:
        if item.get_closest_marker("regtest") and not has_real_nodes(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} runs on real nodes: name its file in tests/real_nodes.py")


def _turn(item: pytest.Item) -> int:
    if not has_real_nodes(item.nodeid):
        return 0 if _is_rolled_back(item) else 3
    return 1 if item.nodeid.startswith(("tests/regtest/", "tests/contract/")) else 2


def _is_rolled_back(item: pytest.Item) -> bool:
    """It uses the database, and nothing of what it writes stays."""
    names, marker = getattr(item, "fixturenames", ()), item.get_closest_marker("django_db")
    commits = "transactional_db" in names or bool(marker and marker.kwargs.get("transaction"))
    return ("db" in names or marker is not None) and not commits


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """`pytest -n 2`: what runs in which process, and when."""
    from tests.side_by_side import SideBySide

    return SideBySide(config, log)
