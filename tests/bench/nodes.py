"""The nodes that are measured: a real lnd, and the simulated one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Self

from tests.regtest.network import Network
from tests.simulator.network import ROOT, SimulatedNetwork, SimulatedNode

#: So that there are blocks too deep to be taken back, as the test network has from its start.
_OLD_BLOCKS: Final = 200
SIMULATOR: Final = "simulator"
LND: Final = "lnd"


@dataclass(frozen=True)
class Kind:
    """One kind of node, and what the page says of it."""

    title: str
    said: str
    network: type[Network] | type[ForgetfulNetwork]


#: The simulator writes all that it knows to its disk at every change, so that it can be killed; that takes longer with
#: each invoice, and it is the server that is measured here.
_FORGETFUL = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from simulator.running import Options, run
from simulator.world import World
World.save = lambda world: None
run(Options(Path({folder!r}), {listen!r}))
"""


class ForgetfulNode(SimulatedNode):
    """A simulator that keeps nothing beyond its own end."""

    def start(self, *, wait: bool = True) -> None:
        self.close()
        program = _FORGETFUL.format(root=str(ROOT), folder=str(self.folder), listen=self.grpc_address)
        self.launch([sys.executable, "-c", program])
        if wait:
            self.wait_ready()


class ForgetfulNetwork(SimulatedNetwork):
    """The simulated network on such a node."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes[:] = [ForgetfulNode("lsp", self.folder / "lsp")]

    def __enter__(self) -> Self:
        super().__enter__()
        self.mine(_OLD_BLOCKS)
        return self


KINDS: Final = {
    SIMULATOR: Kind(
        "On the simulated node",
        "One Python process plays the node, its chain and its customers; here it keeps nothing on its disk. Its own\n"
        "rates say little of any real node: what is ours (statements, rows, processor time) is the same on both.",
        ForgetfulNetwork,
    ),
    LND: Kind(
        "On a real lnd",
        "On a chain of its own: a btcd, the LSP's lnd and a buyer's lnd, with a channel between the two.",
        Network,
    ),
}
