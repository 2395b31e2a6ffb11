"""What every test may ask for. The embedded PostgreSQL is started once for a session, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import TransactionTestCase

from lsp_site.running.embedded import EmbeddedPostgres
from lsps.bolt8 import methods
from orders import limits, outage, reconcile
from orders.openings import dry_runs
from tests.emptying import empty
from tests.order import has_real_nodes, turn

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


@pytest.fixture(scope="session", autouse=True)
def _cleaned_by_who_says_so() -> Iterator[None]:
    """In the shop one of some hundred requests, drawn at random, clears away what is old: with one statement more."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((limits, "CLEANING_IN"), (dry_runs, "_CLEANING_IN")):
            patch.setattr(module, name, 10**12)
        yield


@pytest.fixture(autouse=True)
def _no_outage_is_remembered() -> None:
    """What the process learnt of one test's node is nothing to the next test."""
    outage._of_node.cache_clear()
    reconcile.listed.asking = None


@pytest.fixture(autouse=True)
def _no_offer_is_remembered() -> None:
    """What one test's shop sold is not told to the peers of the next."""
    methods.offered.forget()


def pytest_addoption(parser: pytest.Parser) -> None:
    """See tests/simulator/test_costs.py."""
    parser.addoption("--write-costs", action="store_true", help="write tests/simulator/costs.txt as it is now")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order is `tests.order`'s, which knows the files on real nodes by name."""
    items.sort(key=turn)
    for item in items:
        if item.get_closest_marker("regtest") and not has_real_nodes(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} runs on real nodes: name its file in tests/order.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """`pytest -n 3`: what runs in which process, and when."""
    from tests.side_by_side import SideBySide

    return SideBySide(config, log)
