"""The test network: a chain, and as many Lightning nodes as a test wants.

Usage:

    with Network() as network:
        network["buyer"].pay(network["lsp"].invoice(1000)).wait()
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.regtest.bitcoin import COIN_SAT
from tests.regtest.btcd import ACTIVATION_BLOCKS, Btcd
from tests.regtest.build import binaries
from tests.regtest.lnd import ANNOUNCED_BLOCKS, Lnd
from tests.regtest.processes import release_port
from tests.regtest.waiting import PATIENCE, NeverHappened, until

LSP = "lsp"
BUYER = "buyer"

#: What the two nodes of the usual network begin with.
LSP_COINS = 5
BUYER_COINS = 2
EACH_COIN_SAT = 2 * COIN_SAT
CHANNEL_SAT = COIN_SAT
#: The part of the channel that is the LSP's from the start, so that it can pay the buyer as well.
PUSHED_SAT = CHANNEL_SAT // 10


class Network:
    """A chain and its nodes, in a folder of their own; all of it is gone after `stop`.

    With the names "lsp" and "buyer" (the usual ones) both get coins, six blocks deep, and the buyer has a channel to
    the LSP through which it pays invoices. Other nodes begin empty: see `fund` and `Lnd.open_channel`.
    """

    def __init__(
        self,
        names: Iterable[str] = (LSP, BUYER),
        *,
        flags: dict[str, Sequence[str]] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._binaries = binaries()
        self.folder = folder or Path(tempfile.mkdtemp(prefix="lsp-regtest-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.chain = Btcd(self._binaries, self.folder / "btcd")
        self.nodes: dict[str, Lnd] = {}
        for name in names:
            self._new_node(name, (flags or {}).get(name, ()))

    def __getitem__(self, name: str) -> Lnd:
        return self.nodes[name]

    @property
    def lsp(self) -> Lnd:
        return self.nodes[LSP]

    @property
    def buyer(self) -> Lnd:
        return self.nodes[BUYER]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # also Ctrl-C: half a network must not stay behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """The chain is past its activations, every node is ready, and LSP and buyer have their coins and channel."""
        self.chain.start()
        self.chain.mine(ACTIVATION_BLOCKS)
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()
        if LSP in self.nodes and BUYER in self.nodes:
            self._equip()

    def _equip(self) -> None:
        to_lsp = [(self.lsp.new_address(), EACH_COIN_SAT) for _ in range(LSP_COINS)]
        to_buyer = [(self.buyer.new_address(), EACH_COIN_SAT) for _ in range(BUYER_COINS)]
        self.chain.pay(to_lsp + to_buyer)
        self.mine(ANNOUNCED_BLOCKS)
        self.buyer.open_channel(self.lsp, CHANNEL_SAT, PUSHED_SAT)
        self.wait_synced()

    def stop(self) -> None:
        """Every program has ended and the folder is deleted. Repeat: safe."""
        # Killed, not asked: nothing of theirs is kept.
        for node in self.nodes.values():
            node.kill()
            _release(node)
        self.chain.kill()
        for port in (self.chain.rpc_port, self.chain.p2p_port):
            release_port(port)
        self.nodes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Nodes

    def add(self, name: str, flags: Sequence[str] = (), *, funded_sat: int = 0, coins: int = 1) -> Lnd:
        """One more node, ready; with `funded_sat` it has so many coins of so much each."""
        node = self._new_node(name, flags)
        node.start()
        if funded_sat:
            self.fund(node, funded_sat, coins)
        return node

    def remove(self, name: str) -> None:
        """The node and its folder are gone; its peers are not told. Repeat: safe."""
        if node := self.nodes.pop(name, None):
            node.kill()
            _release(node)
            shutil.rmtree(node.folder, ignore_errors=True)

    def _new_node(self, name: str, flags: Sequence[str]) -> Lnd:
        if name in self.nodes:
            raise ValueError(f"there is a node called {name} already")
        node = self.nodes[name] = Lnd(name, self._binaries, self.folder / name, self.chain, flags)
        return node

    # Chain

    def fund(self, node: Lnd, amount_sat: int, coins: int = 1, *, depth: int = 1) -> str:
        """The node's wallet has `coins` more coins of `amount_sat` each, `depth` blocks deep; the transaction's id."""
        txid = self.chain.pay([(node.new_address(), amount_sat) for _ in range(coins)])
        self.mine(depth)
        return txid

    def mine(self, blocks: int = 1) -> None:
        """So many more blocks, and every node that runs has seen them."""
        self.chain.mine(blocks)
        self.wait_synced()

    def reorganise(self, depth: int, replacement: Sequence[str] | None = None) -> None:
        """As `Btcd.reorganise`, and every node that runs has followed.

        Followed as far as lnd does: of several blocks that are lost at once its *wallet* rolls back the last one only,
        and goes on listing what was in the others, with their old block hashes. Its notifiers get it right, and so does
        the wallet of a node that was not running meanwhile.
        """
        self.chain.reorganise(depth, replacement)
        self.wait_synced()

    def restart_chain(self, *flags: str) -> None:
        """btcd has started again: the same chain, an empty mempool, other flags. The nodes have found it.

        `--minrelaytxfee=0.0005` (BTC for 1000 vbytes) raises the fee floor, for instance. The chain is a little longer
        afterwards, by empty blocks. The nodes' wallets may publish again what they had sent.
        """
        awake = [node for node in self.nodes.values() if node.is_running and not node.is_paused]
        for node in awake:
            node.pause()
        try:
            self.chain.restart(*flags)
        finally:
            for node in awake:
                node.resume()
        # lnd looks for it again after 5 s, then after 10, 15 and so on.
        until(self._all_hear_of_a_new_block, "the nodes have found the restarted btcd", timeout=3 * PATIENCE)

    def _all_hear_of_a_new_block(self) -> bool:
        """A node that has just connected again may miss a block, and learns of it with the next."""
        self.chain.mine_only()
        try:
            self.wait_synced(2)
        except NeverHappened:
            return False
        return True

    def wait_synced(self, timeout: float = PATIENCE) -> None:
        """Every node that runs (and is not paused) knows the best block."""
        for node in self.nodes.values():
            if node.is_running and not node.is_paused:
                node.wait_synced(timeout)


def _release(node: Lnd) -> None:
    for port in (node.grpc_port, node.p2p_port):
        release_port(port)
