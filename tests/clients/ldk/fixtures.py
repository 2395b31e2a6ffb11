"""The wallet for tests that need it. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

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

_lacking = pytest.StashKey[Exception | None]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The wallet is built before the first test that wants it: no test's time limit pays for the compiler."""
    if "ldk_wallet" in getattr(item, "fixturenames", ()) and fixtures.has_real_nodes(item.config):
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
    problem = pytestconfig.stash.get(_lacking, None)
    if isinstance(problem, build.CargoMissing):
        pytest.skip(SKIPPED)
    if problem is not None:
        pytest.fail(str(problem), pytrace=False)
    with BitcoinCore(real_network.chain) as core:
        wallet = LdkWallet(build.program(), real_network.folder / "ldk", core.port)
        try:
            wallet.open()
            real_network.chain.pay([(wallet.new_address(), EACH_COIN_SAT) for _ in range(COINS)])
            real_network.mine(1)
            until(lambda: wallet.spendable_sat() >= COINS * EACH_COIN_SAT, "the wallet has its coins")
            yield wallet
        finally:
            wallet.close()
