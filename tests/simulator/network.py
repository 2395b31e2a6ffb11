"""The simulator in the shape of the test network: what tests say to real nodes, they can say to this one.

Only what tests of both need is here; the rest of the simulator's own abilities are in `SimulatedNode.control`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from lightning.proto import lnrpc_pb2 as ln
from lightning.proto.lnrpc_pb2_grpc import LightningStub
from simulator.control import Control, Refused
from tests.regtest.payment import FINAL
from tests.regtest.processes import Program, ProgramDied, free_port, release_port
from tests.regtest.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
BUYER_CHANNEL_SAT = 10**8
#: LND's flags that a test may give a peer, as what the simulated customer does.
_FLAGS = {
    "--minchansize": "min_channel_sat",
    "--maxchansize": "max_channel_sat",
    "--maxpendingchannels": "pending_limit",
}

#: What `manage.py run_simulator` does, without Django, which takes most of the time to start.
_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from simulator.running import Options, run
from simulator.world import Beginning
home, listen, block_seconds, beginning = {options!r}
run(Options(Path(home), listen, block_seconds, beginning=Beginning(**beginning)))
"""


class Balance(NamedTuple):
    confirmed_sat: int
    unconfirmed_sat: int


class SimulatedNode(Program):
    """One simulator: a process of its own, as lnd is one."""

    def __init__(
        self, name: str, folder: Path, *, coins: int = 5, coin_sat: int = 2 * 10**8, block_seconds: float = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(name, folder / "simulator.log")
        self.folder = folder
        self._block_seconds = block_seconds
        self._beginning = {"alias": name, "coins": coins, "coin_sat": coin_sat}
        self.grpc_port = free_port()
        self.tls_certificate = folder / "tls.cert"
        self.admin_macaroon = folder / "admin.macaroon"
        self.pubkey = ""
        self.p2p_address = ""
        self._control: Control | None = None

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def control(self) -> Control:
        if self._control is None:
            self._control = Control(self.grpc_address, self.folder)
        return self._control

    @property
    def stub(self) -> LightningStub:
        return LightningStub(self.control.channel)

    # The process

    def start(self, *, wait: bool = True) -> None:
        self.close()
        options = (str(self.folder), self.grpc_address, self._block_seconds, self._beginning)
        self.launch([sys.executable, "-c", _PROGRAM.format(root=str(ROOT), options=options)])
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        until(self._answers, f"{self.name} answers", timeout=30)
        info = self.call(self.stub.GetInfo, ln.GetInfoRequest())
        self.pubkey, self.p2p_address = info.identity_pubkey, info.uris[0]

    def restart(self) -> None:
        self.terminate()
        self.start()

    def kill(self) -> None:
        super().kill()
        self.close()

    def close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _answers(self) -> bool:
        if not self.is_running:
            raise ProgramDied(f"{self.name} ended at start:\n{self.log_tail()}")
        try:
            return bool(self.control.customers())
        except (OSError, Refused):
            return False  # no certificate yet, or nobody listens

    # What tests ask a node

    def call(self, method: Any, request: Any) -> Any:
        return method(request, timeout=30, metadata=self.control.metadata)

    def new_address(self, *, taproot: bool = False, nested: bool = False) -> str:
        kind = ln.TAPROOT_PUBKEY if taproot else ln.NESTED_PUBKEY_HASH if nested else ln.WITNESS_PUBKEY_HASH
        return str(self.call(self.stub.NewAddress, ln.NewAddressRequest(type=kind)).address)

    def watch_address(self) -> str:
        return self.control.watch_address()

    def bake_macaroon(self, methods: Sequence[str]) -> str:
        permissions = [ln.MacaroonPermission(entity="uri", action=method) for method in methods]
        request = ln.BakeMacaroonRequest(permissions=permissions, root_key_id=7)
        return str(self.call(self.stub.BakeMacaroon, request).macaroon)

    def transactions(self) -> list[Any]:
        request = ln.GetTransactionsRequest(start_height=0, end_height=-1)
        return list(self.call(self.stub.GetTransactions, request).transactions)

    def balance(self) -> Balance:
        def total(found: list[Any]) -> int:
            return sum(each.amount for tx in found for each in tx.output_details if each.is_our_address)

        known = self.transactions()
        return Balance(
            total([each for each in known if each.num_confirmations]),
            total([each for each in known if not each.num_confirmations]),
        )

    def channels(self) -> list[Any]:
        return list(self.call(self.stub.ListChannels, ln.ListChannelsRequest()).channels)

    def close_channel(self, point: str, *, force: bool = False) -> str:
        return self.control.close_channel(point, "LOCAL_FORCE_CLOSE" if force else "COOPERATIVE_CLOSE_OF_OURS")

    def closed_channel(self, point: str) -> tuple[str, str] | None:
        found = self.call(self.stub.ClosedChannels, ln.ClosedChannelsRequest()).channels
        closed = next((each for each in found if each.channel_point == point), None)
        if closed is None:
            return None
        return ln.ChannelCloseSummary.ClosureType.Name(closed.close_type).lower(), str(closed.closing_tx_hash)

    def set_policy(self, point: str, *, base_msat: int, ppm: int) -> None:
        self.control.set_policy(point, base_msat=base_msat, ppm=ppm, cltv_blocks=90)

    def policy_of(self, point: str, pubkey: str) -> tuple[int, int, int] | None:
        found = self.control.policy(point)
        return found.base_msat, found.ppm, found.cltv_blocks

    def invoice(self, amount_sat: int) -> str:
        return self.control.add_invoice(amount_sat)

    def add_peer(self, **behaviour: Any) -> SimulatedPeer:
        """A new customer of this node's: each simulator has its own."""
        return SimulatedPeer(self, f"peer-{len(self.control.customers())}", **behaviour)

    def open_channel(self, other: SimulatedPeer, amount_sat: int, push_sat: int = 0) -> str:
        """A channel that nobody bought, active."""
        point = self.control.open_channel(other.name, amount_sat, push_sat=push_sat, by_us=True)
        self.control.mine(6)
        return point


class SimulatedPayment:
    """One payment by a simulated customer."""

    def __init__(self, node: Any, number: int) -> None:  # whatever has its control
        self._node = node
        self._number = number

    def status(self) -> str:
        return str(self._node.control.payment(self._number).state)

    @property
    def failure(self) -> str:
        return str(self._node.control.payment(self._number).failure)

    @property
    def preimage(self) -> str:
        return str(self._node.control.payment(self._number).preimage)

    def wait_locked(self) -> None:
        """It leaves at once."""

    def wait(self, timeout: float = PATIENCE) -> str:
        until(lambda: self.status() in FINAL, "the payment ends", timeout=timeout)
        return self.status()


class _Heard(Sequence[tuple[int, bytes]]):
    """What the node says to a customer from now on."""

    def __init__(self, control: Control, name: str) -> None:
        self._control, self._name = control, name
        self._before = len(control.heard(name))

    def __getitem__(self, index: Any) -> Any:
        return self._control.heard(self._name, skip=self._before)[index]

    def __len__(self) -> int:
        return len(self._control.heard(self._name, skip=self._before))


class SimulatedPeer:
    """One customer's node."""

    def __init__(self, node: SimulatedNode, name: str, **behaviour: Any) -> None:
        self._node = node
        self.name = name
        found = node.control.change_customer(name, **({"presence": "online", "pending_limit": 50} | behaviour))
        self.pubkey, self.p2p_host = found.pubkey, found.host

    @property
    def p2p_address(self) -> str:
        return f"{self.pubkey}@{self.p2p_host}"

    def change(self, **changes: Any) -> None:
        self._node.control.change_customer(self.name, **changes)

    def kill(self) -> None:
        self.change(presence="offline")

    def start(self) -> None:
        self.change(presence="online")

    def pause(self) -> None:
        self.change(presence="silent")

    def resume(self) -> None:
        self.change(presence="online")

    @contextmanager
    def refusing_channels(self, text: str) -> Iterator[None]:
        self.change(refusal=text)
        yield
        self.change(refusal="")

    @contextmanager
    def accepting_zero_conf(self) -> Iterator[None]:
        self.change(accepts_zero_conf=True)
        yield
        self.change(accepts_zero_conf=False)

    def pay(self, invoice: str, *, max_parts: int = 1, **options: Any) -> SimulatedPayment:
        """`max_shard_size_msat`, for lnd, is what makes so many parts of it."""
        options.pop("max_shard_size_msat", None)
        control = self._node.control
        return SimulatedPayment(self._node, control.pay(invoice, payer=self.name, parts=max_parts, **options).id)

    def ask(self, node: SimulatedNode, amount_sat: int, *, scid: int, cltv_blocks: int = 80) -> str:
        """An invoice of this node's, to be paid over `node` and the channel called so."""
        return node.control.ask_for_payment(self.name, amount_sat * 1000, scid=scid, cltv_blocks=cltv_blocks)

    @contextmanager
    def holding_payments(self) -> Iterator[None]:
        """What is paid meanwhile is settled afterwards."""
        self.change(takes="holds")
        yield
        self.change(takes="settles")

    def forget_failures(self) -> None:
        """It remembers none."""

    def pay_amount(self, invoice: str, amount_msat: int) -> SimulatedPayment:
        return self.pay(invoice, amount_msat=amount_msat)

    def pay_part(self, invoice: str, part_msat: int) -> None:
        self.pay(invoice, part_msat=part_msat)

    def say(self, other: SimulatedNode, data: bytes, *, type: int = 37_913) -> None:
        other.control.say_to_node(self.name, data, type=type)

    @contextmanager
    def hearing(self) -> Iterator[_Heard]:
        yield _Heard(self._node.control, self.name)

    def channels(self) -> list[Any]:
        request = ln.ListChannelsRequest(peer=bytes.fromhex(self.pubkey))
        return list(self._node.call(self._node.stub.ListChannels, request).channels)

    def close_channel(self, point: str, *, force: bool = False) -> str:
        return self._node.control.close_channel(point, "REMOTE_FORCE_CLOSE" if force else "COOPERATIVE_CLOSE")

    def closed_channel(self, point: str) -> tuple[str, str] | None:
        """As the other side calls it."""
        closed = self._node.closed_channel(point)
        other = {"local_force_close": "remote_force_close", "remote_force_close": "local_force_close"}
        return None if closed is None else (other.get(closed[0], closed[0]), closed[1])

    def policy_of(self, point: str, pubkey: str) -> tuple[int, int, int] | None:
        return self._node.policy_of(point, pubkey)


class SimulatedChain:
    """What strangers do, at every node's chain: each simulator has its own, and nobody can tell."""

    def __init__(self, nodes: list[SimulatedNode]) -> None:
        self._nodes = nodes

    @property
    def height(self) -> int:
        node = self._nodes[0]
        return int(node.call(node.stub.GetInfo, ln.GetInfoRequest()).block_height)

    def pay(self, payments: Sequence[tuple[str, int]]) -> str:
        """The transaction's id at the first node's chain."""
        txids = [node.control.deposit(*payments) for node in self._nodes]
        return txids[0]

    def send(self, address: str, amount_sat: int, *, times: int = 1) -> str:
        return self.pay([(address, amount_sat)] * times)

    def mempool(self) -> list[str]:
        return self._nodes[0].control.mempool()

    def rival_of(self, txid: str) -> str:
        return self._nodes[0].control.rival_of(txid).hex()

    def mine_only(self, transactions: Sequence[str] = ()) -> None:
        self._nodes[0].control.mine_only(raw=[bytes.fromhex(each) for each in transactions])


class SimulatedNetwork:
    """One simulated LSP's node, a buyer with a channel to it, and more as a test wants."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lsp-simulator-"))
        self.nodes = [SimulatedNode("lsp", self.folder / "lsp")]
        self.chain = SimulatedChain(self.nodes)
        self._added = 0

    @property
    def lsp(self) -> SimulatedNode:
        return self.nodes[0]

    def __enter__(self) -> Self:
        try:
            self.lsp.start()
            self.lsp.control.open_channel("buyer", BUYER_CHANNEL_SAT, push_sat=BUYER_CHANNEL_SAT // 10)
            self.mine(6)
            self.buyer = SimulatedPeer(self.lsp, "buyer")
        except BaseException:  # also Ctrl-C: no process may stay behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for node in list(self.nodes):
            self.remove(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def mine(self, blocks: int = 1) -> None:
        for node in self.nodes:
            node.control.mine(blocks)

    def reorganise(self, depth: int, replacement: Sequence[str] | None = None) -> None:
        raw = None if replacement is None else [bytes.fromhex(each) for each in replacement]
        self.lsp.control.reorganise(depth, raw)

    def add_peer(self, *flags: str, funded_sat: int = 0, coins: int = 1) -> SimulatedPeer:
        """A new customer; what it owns does not matter here."""
        behaviour: dict[str, Any] = {}
        for name, _, value in (flag.partition("=") for flag in flags):
            if name == "--rejectpush":
                behaviour["refuses_push"] = True
            elif name in _FLAGS:
                behaviour[_FLAGS[name]] = int(value)
            else:
                raise ValueError(f"the simulator knows no {name}")
        return self.lsp.add_peer(**behaviour)

    def add_node(self, *flags: str, funded_sat: int = 0, coins: int = 1) -> SimulatedNode:
        """One more node to ask; with `funded_sat` its wallet has coins of so much."""
        self._added += 1
        name = f"node-{self._added}"
        node = SimulatedNode(name, self.folder / name, coins=coins if funded_sat else 0, coin_sat=funded_sat)
        node.start()
        node.control.require_interceptor("--requireinterceptor" in flags)
        self.nodes.append(node)
        return node

    @contextmanager
    def adding_nodes(self) -> Iterator[Callable[..., SimulatedNode]]:
        """Starts nodes that are gone afterwards."""
        added: list[SimulatedNode] = []

        def add(*flags: str, funded_sat: int = 0, coins: int = 1) -> SimulatedNode:
            added.append(self.add_node(*flags, funded_sat=funded_sat, coins=coins))
            return added[-1]

        yield add
        for node in added:
            self.remove(node)

    def remove(self, node: SimulatedNode) -> None:
        node.kill()
        release_port(node.grpc_port)
        self.nodes.remove(node)
