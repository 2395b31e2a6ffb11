"""The whole server on a simulated node with 1 BTC, all in processes of its own, with the settings as they come."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.regtest.processes import release_port
from tests.served import Served
from tests.simulator.network import SimulatedNode

#: 1 BTC, split as the operating page tells: each coin sells one channel in six blocks, and here they all want seven in
#: ten seconds, attackers who pay included.
TOTAL_SAT: Final = 10**8
COINS: Final = 40
BLOCK_SECONDS: Final = 3
#: sat/kW: 2 sat/vB.
CALM_SAT_PER_KW: Final = 500


class Shop(Served):
    """The server and its node."""

    def __init__(self, coins: int = COINS) -> None:
        home = Path(tempfile.mkdtemp(prefix="lsp-attack-"))
        self.node = SimulatedNode(
            "lsp", home / "node", coins=coins, coin_sat=TOTAL_SAT // coins, block_seconds=BLOCK_SECONDS
        )
        super().__init__(home, self.node)

    def __enter__(self) -> Self:
        try:
            self.node.start()
            self.node.control.mine(6)  # the coins are deep
            self.node.control.set_fees(CALM_SAT_PER_KW)
            self.start()
        except BaseException:  # also Ctrl-C: no process may stay behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Both have ended, and nothing is left."""
        self.node.kill()
        release_port(self.node.grpc_port)
        super().stop()
