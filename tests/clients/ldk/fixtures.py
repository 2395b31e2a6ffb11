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

_was_skipped = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)  # without the real nodes there is nothing to build it for
def pytest_collection_finish(session: pytest.Session) -> None:
    """The wallet is built before the first test: no test's time limit pays for the compiler."""
    wanted = any("ldk_wallet" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly or not fixtures.has_real_nodes(session.config):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        build.program(say=reporter.write_line if reporter else print)
    except build.CargoMissing:
        session.config.stash[_was_skipped] = True
    except build.BuildFailed as problem:
        raise pytest.UsageError(str(problem)) from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash.get(_was_skipped, False):
        terminalreporter.write_line(SKIPPED, yellow=True)


@pytest.fixture(scope="module")
def ldk_wallet(real_network: Network, pytestconfig: pytest.Config) -> Iterator[LdkWallet]:
    """A wallet that is online and has coins, the same for all tests of a file: leave it online.

    The next file has it again, with its coins and channels: its folder is the network's.
    """
    if pytestconfig.stash.get(_was_skipped, False):
        pytest.skip(SKIPPED)
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
