"""The wallet for tests that need it. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients.ldk import build
from tests.clients.ldk.bitcoin_core import BitcoinCore
from tests.clients.ldk.wallet import LdkWallet
from tests.regtest import fixtures
from tests.regtest.bitcoin import COIN_SAT
from tests.regtest.network import Network
from tests.regtest.waiting import until

SKIPPED = "tests with a wallet of ldk-node skipped: cargo is not installed"
#: A buyer who pays on chain has coins, and some are left: the wallet keeps 25,000 sat for each channel that it takes.
COINS, EACH_COIN_SAT = 4, COIN_SAT // 10

_WALLETS = {"ldk_wallet", "ldk_buyer"}
_lacking = pytest.StashKey[Exception | None]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The wallet is built before the first test that wants it: no test's time limit pays for the compiler."""
    if _WALLETS & set(getattr(item, "fixturenames", ())) and fixtures.has_real_nodes(item.config):
        _build(item.config)
    return (yield)


def _build(config: pytest.Config) -> None:
    if _lacking in config.stash:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    try:
        build.program(say=reporter.write_line if reporter else print)
    except (build.CargoMissing, build.BuildFailed) as problem:
        config.stash[_lacking] = problem
    else:
        config.stash[_lacking] = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    fixtures.say_once(terminalreporter, SKIPPED)


@pytest.fixture(scope="module")
def ldk_wallet(real_network: Network, pytestconfig: pytest.Config) -> Iterator[LdkWallet]:
    """A wallet that is online and has coins, the same for all tests of a file: leave it online.

    The next file has it again, with its coins and channels: its folder is the network's.
    """
    with _wallet(real_network, pytestconfig, "ldk") as wallet:
        yield wallet


@pytest.fixture(scope="module")
def ldk_buyer(real_network: Network, pytestconfig: pytest.Config) -> Iterator[LdkWallet]:
    """Another, which knows the LSP's node as the one to buy from by LSPS1."""
    with _wallet(real_network, pytestconfig, "ldk-buyer", lsp=real_network.lsp.p2p_address) as wallet:
        yield wallet


@contextmanager
def _wallet(network: Network, config: pytest.Config, folder: str, *, lsp: str = "") -> Iterator[LdkWallet]:
    problem = config.stash.get(_lacking, None)
    if isinstance(problem, build.CargoMissing):
        pytest.skip(SKIPPED)
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)
    with BitcoinCore(network.chain) as core:
        wallet = LdkWallet(build.program(), network.folder / folder, core.port, lsp=lsp)
        try:
            wallet.open()
            network.chain.pay([(wallet.new_address(), EACH_COIN_SAT) for _ in range(COINS)])
            network.mine(1)
            until(lambda: wallet.spendable_sat() >= COINS * EACH_COIN_SAT, "the wallet has its coins")
            yield wallet
        finally:
            wallet.close()
