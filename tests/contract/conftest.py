"""The two nodes that the contract is tested on, lnd and the simulator, and how to bring them where a test wants."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lightning.credentials import Credentials
from lightning.node import LndNode, Negotiation
from lightning.types import FundedPsbt, NodeAddress, Outpoint
from tests.contract.account import Book
from tests.regtest.fixtures import adding_peers
from tests.regtest.lnd import Lnd
from tests.regtest.network import Network
from tests.simulator.network import SimulatedNetwork

CAPACITY_SAT = 400_000
PUSH_SAT = 1_000
HOUR = 3600


def credentials(lnd: Lnd, **changed: str) -> Credentials:
    values = {
        "target": lnd.grpc_address,
        "tls_cert": str(lnd.tls_certificate),
        "macaroon": str(lnd.admin_macaroon),
        "network": "regtest",
    }
    return Credentials(**(values | changed))


@pytest.fixture(scope="package")
def book() -> Iterator[Book]:
    """What was asked and heard, on both."""
    kept = Book()
    with kept.writing():
        yield kept


@pytest.fixture(autouse=True)
def _written_down(book: Book, request: pytest.FixtureRequest) -> None:
    book.test = request.node.name.replace("[simulator", "[").replace("[lnd", "[")


@pytest.fixture(scope="package", params=["simulator", "lnd"])
def network(request: pytest.FixtureRequest, book: Book) -> Network | SimulatedNetwork:
    """Each test runs on both. Where they differ, the simulator is wrong."""
    book.node = request.param
    return request.getfixturevalue("simulated_network" if request.param == "simulator" else "real_network")


@pytest.fixture
def add_peer(network) -> Iterator[Any]:
    """Somebody else's node, gone after the test: to open channels to."""
    if isinstance(network, SimulatedNetwork):
        yield network.add_peer
    else:
        with adding_peers(network) as add:
            yield add


@pytest.fixture
def add_node(network) -> Iterator[Any]:
    """One more node to ask, gone after the test; its wallet has one coin, or none."""
    if isinstance(network, SimulatedNetwork):
        with network.adding_nodes() as add:
            yield add
    else:
        with adding_peers(network, "node") as add:
            yield add


@pytest.fixture(scope="package")
def other_node(network) -> Iterator[Any]:
    """Some node that is not `lsp`."""
    if isinstance(network, SimulatedNetwork):
        with network.adding_nodes() as add:
            yield add()
    else:
        yield network.buyer


@pytest.fixture(scope="package")
def lsp(network: Network) -> Lnd:
    return network.lsp


@pytest.fixture(scope="package")
def node(lsp: Lnd) -> LndNode:
    """What all these tests are about."""
    return LndNode(credentials(lsp))


@pytest.fixture(scope="package")
def peer(network) -> Iterator[Any]:
    """Somebody to open channels to, who stays: leave it running."""
    if isinstance(network, SimulatedNetwork):
        yield network.add_peer()
    else:
        with adding_peers(network, "steady") as add:
            yield add()


@pytest.fixture
def passing_peer(add_peer) -> Lnd:
    """Somebody to open a channel to whom nobody else knows, gone after the test."""
    return add_peer()


@dataclass
class Secret:
    """What settles one hold invoice."""

    preimage: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def payment_hash(self) -> str:
        return hashlib.sha256(self.preimage).hexdigest()


@pytest.fixture
def secret() -> Secret:
    return Secret()


@dataclass
class Opening:
    """One attempt to open a channel, step by step as the server takes them."""

    node: LndNode
    peer: Lnd
    memo: str = "order"
    private: bool = True
    zero_conf: bool = False
    free: bool = False
    capacity_sat: int = CAPACITY_SAT
    push_sat: int = PUSH_SAT
    pending_chan_id: bytes = field(default_factory=lambda: os.urandom(32))
    lock_id: bytes = field(default_factory=lambda: os.urandom(32))

    def connected(self) -> Opening:
        self.node.connect(NodeAddress.parse(self.peer.p2p_address), timeout_seconds=10)
        return self

    def negotiate(self) -> Negotiation:
        return self.node.open_channel(
            pubkey=self.peer.pubkey,
            pending_chan_id=self.pending_chan_id,
            capacity_sat=self.capacity_sat,
            push_sat=self.push_sat,
            private=self.private,
            memo=self.memo,
            zero_conf=self.zero_conf,
            free=self.free,
        )

    def fund(self, address: str, amount_sat: int) -> FundedPsbt:
        return self.node.fund_psbt(
            address=address,
            amount_sat=amount_sat,
            sat_per_kw=1000,
            min_confirmations=1,
            lock_id=self.lock_id,
            lease_seconds=HOUR,
        )

    def pending(self) -> tuple[Outpoint, FundedPsbt]:
        """The channel is pending on both sides, nothing is published."""
        with self.connected().negotiate() as negotiation:
            request = negotiation.funding_request(timeout_seconds=30)
            funded = self.fund(request.address, request.amount_sat)
            self.node.verify_psbt(pending_chan_id=self.pending_chan_id, psbt=funded.psbt)
            return negotiation.pending_outpoint(timeout_seconds=30), funded

    def release(self, funded: FundedPsbt) -> None:
        for lease in funded.leases:
            self.node.release(lease.outpoint, lock_id=self.lock_id)


@pytest.fixture
def opening(node: LndNode, peer: Lnd) -> Opening:
    return Opening(node, peer)


@pytest.fixture
def cancel(node: LndNode) -> Callable[[Opening, Outpoint], None]:
    """An attempt that will never be published leaves nothing behind at our node."""

    def clean(attempt: Opening, outpoint: Outpoint) -> None:
        node.disconnect(attempt.peer.pubkey)
        node.abandon_channel(outpoint)

    return clean
