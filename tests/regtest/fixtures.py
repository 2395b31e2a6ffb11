"""Fixtures of the tests that need real nodes. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest

from tests.regtest import build
from tests.regtest.lnd import Lnd
from tests.regtest.network import Network

SKIPPED = "real-node tests skipped: Go is not installed"

_lacking = pytest.StashKey[Exception | None]()


class AddPeer(Protocol):
    """Starts one more node; see `Network.add`."""

    def __call__(self, *flags: str, funded_sat: int = 0, coins: int = 1) -> Lnd: ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "regtest: runs against real lnd and btcd (set by itself)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that uses the network is marked, so that `-m "not regtest"` leaves it out."""
    for item in items:
        if _needs_real_nodes(item):
            item.add_marker(pytest.mark.regtest)


def _needs_real_nodes(item: pytest.Item) -> bool:
    """Some tests have the simulator in the network's place, always or in one of their two runs."""
    parameters = getattr(item, "callspec", None)
    chosen = parameters.params.get("network") if parameters else None
    return "real_network" in getattr(item, "fixturenames", ()) or chosen == "lnd"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """lnd and btcd are built before the first test that wants them: no test's time limit pays for the compiler."""
    if item.get_closest_marker("regtest"):
        _build(item.config)
    return (yield)


def _build(config: pytest.Config) -> None:
    if _lacking in config.stash:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    try:
        build.binaries(say=reporter.write_line if reporter else print)
    except (build.GoMissing, build.BuildFailed) as problem:
        config.stash[_lacking] = problem
    else:
        config.stash[_lacking] = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    say_once(terminalreporter, SKIPPED)


def say_once(terminalreporter: pytest.TerminalReporter, reason: str) -> None:
    """Tests were skipped for this reason: a line of its own says so, whichever process they ran in."""
    if any(reason in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(reason, yellow=True)


def has_real_nodes(config: pytest.Config) -> bool:
    """The tests of this session that want real nodes get them; known once the first is about to run."""
    return config.stash.get(_lacking, None) is None


@pytest.fixture(scope="session")
def real_network(pytestconfig: pytest.Config) -> Iterator[Network]:
    """What `network` is, unless a folder of tests says otherwise."""
    problem = pytestconfig.stash.get(_lacking, None)
    if isinstance(problem, build.GoMissing):
        pytest.skip(SKIPPED)
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)
    with Network() as running:
        yield running


@pytest.fixture(scope="session")
def network(real_network: Network) -> Network:
    """The network that all tests share: nodes "lsp" and "buyer", both with coins, and a channel between them.

    Leave its two nodes running and synced; take throw-away nodes (`add_peer`) for anything that cannot be put right.
    """
    return real_network


@pytest.fixture
def add_peer(network: Network) -> Iterator[AddPeer]:
    """Starts nodes that are gone after the test: `add_peer("--minchansize=500000", funded_sat=1_000_000)`."""
    with adding_peers(network) as add:
        yield add


@contextmanager
def adding_peers(network: Network, name: str = "peer") -> Iterator[AddPeer]:
    """Starts nodes that are gone afterwards."""
    added: list[str] = []

    def add(*flags: str, funded_sat: int = 0, coins: int = 1) -> Lnd:
        added.append(f"{name}-{len(added) + 1}")
        return network.add(added[-1], flags, funded_sat=funded_sat, coins=coins)

    yield add
    for each in added:
        network.remove(each)
