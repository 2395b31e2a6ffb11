"""One Lightning node: an lnd that tests start, stop, stall and use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from simulator import scripts
from tests.regtest.acceptor import Answer, answering_channels
from tests.regtest.bitcoin import COIN_SAT, Coin, Output, script_of, signed, unsigned
from tests.regtest.btcd import FEE_SAT, Btcd
from tests.regtest.build import DESCRIPTORS
from tests.regtest.paying import Paying
from tests.regtest.payment import Payment
from tests.regtest.processes import Program, ProgramDied, free_port
from tests.regtest.rpc import Message, Rpc
from tests.regtest.waiting import PATIENCE, NeverHappened, until

#: Blocks until a channel is announced to the network.
ANNOUNCED_BLOCKS = 6

_SERVER_ACTIVE = 4
_SIGHASH_ALL = 1


class Balance(NamedTuple):
    confirmed_sat: int
    unconfirmed_sat: int
    channels_sat: int


class Lnd(Paying, Program):
    """A node on the test chain, with an unlocked wallet of its own."""

    def __init__(self, name: str, binaries: Path, folder: Path, chain: Btcd, flags: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(name, folder / "lnd.log")
        self.folder = folder
        self.chain = chain
        self.flags = list(flags)
        self.grpc_port = free_port()
        self.p2p_port = free_port()
        self.tls_certificate = folder / "tls.cert"
        self.admin_macaroon = folder / "data" / "chain" / "bitcoin" / "regtest" / "admin.macaroon"
        #: The node's identity, once it has been ready.
        self.pubkey = ""
        self._binaries = binaries
        self._rpc: Rpc | None = None

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def p2p_host(self) -> str:
        return f"127.0.0.1:{self.p2p_port}"

    @property
    def p2p_address(self) -> str:
        """The node's URI, as a buyer types it."""
        return f"{self.pubkey}@{self.p2p_host}"

    # The process

    def start(self, *, wait: bool = True) -> None:
        """The node runs; with `wait` it also answers and knows the tip of the chain."""
        self._close()
        self.launch([str(self._binaries / "lnd"), *self._flags(), *self.flags])
        if wait:
            self.wait_ready()

    def restart(self, flags: Sequence[str] | None = None) -> None:
        """The node has stopped in order and runs again; with `flags`, these replace its extra ones."""
        self.terminate()
        if flags is not None:
            self.flags = list(flags)
        self.start()

    def kill(self) -> None:
        super().kill()
        self._close()

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        """The node serves every call, and knows the tip of the chain."""
        try:
            until(self._is_ready, f"{self.name} is ready", timeout=timeout / 3)
        except NeverHappened:
            self.chain.mine_only()  # a node that missed the last block learns of it with the next
            until(self._is_ready, f"{self.name} is ready", timeout=timeout)
        self.pubkey = self.info().identity_pubkey

    def wait_synced(self, timeout: float = PATIENCE) -> None:
        """The node has seen the chain's best block."""
        until(self._is_synced, f"{self.name} has seen the best block", timeout=timeout)

    def _flags(self) -> list[str]:
        return [
            f"--lnddir={self.folder}",
            f"--alias={self.name}",
            f"--rpclisten={self.grpc_address}",
            f"--listen={self.p2p_host}",
            f"--externalip={self.p2p_host}",
            "--bitcoin.regtest",
            "--bitcoin.node=btcd",
            f"--btcd.rpchost=127.0.0.1:{self.chain.rpc_port}",
            f"--btcd.rpcuser={self.chain.rpc_user}",
            f"--btcd.rpcpass={self.chain.rpc_password}",
            f"--btcd.rpccert={self.chain.certificate}",
            "--noseedbackup",
            "--nobootstrap",
            "--norest",
            "--logging.file.disable",
            "--debuglevel=info",
            "--trickledelay=50",
            "--gossip.sub-batch-delay=5ms",
            "--db.batch-commit-interval=10ms",
            "--minbackoff=500ms",
            "--maxbackoff=2s",
            "--num-restricted-slots=10000",
            "--maxpendingchannels=50",
            "--bitcoin.defaultchanconfs=1",
            "--protocol.option-scid-alias",
            "--protocol.zero-conf",
            "--protocol.wumbo-channels",
            "--accept-keysend",
        ]

    def _is_ready(self) -> bool:
        if not self.is_running:
            raise ProgramDied(f"{self.name} ended at start:\n{self.log_tail()}")
        try:
            return self.call("lnrpc.State/GetState").state == _SERVER_ACTIVE and self._is_synced()
        except OSError:
            return False  # no certificate or no macaroon yet
        except grpc.RpcError:
            self._close()  # no server yet; or its macaroon was read while the node was writing it
            return False

    def _is_synced(self) -> bool:
        info = self.info()
        return bool(info.synced_to_chain) and info.block_hash == self.chain.best_block

    # The interface

    @property
    def rpc(self) -> Rpc:
        """A connection with all rights. Raises: OSError while the node has not written its certificate yet."""
        if self._rpc is None:
            certificate, macaroon = self.tls_certificate.read_bytes(), self.admin_macaroon.read_bytes()
            self._rpc = Rpc(self.grpc_address, certificate, macaroon, self._binaries / DESCRIPTORS)
        return self._rpc

    def call(self, method: str, *, timeout: float = 30, **fields: Any) -> Message:
        """One call: `lnd.call("lnrpc.Lightning/NewAddress", type=0)`. Raises: grpc.RpcError."""
        return self.rpc.call(method, timeout=timeout, **fields)

    def stream(self, method: str, *, timeout: float | None = None, **fields: Any) -> Any:
        """One call with many answers: iterate over it, or `cancel()` it."""
        return self.rpc.stream(method, timeout=timeout, **fields)

    def _close(self) -> None:
        if self._rpc is not None:
            self._rpc.close()
            self._rpc = None

    # Wallet

    def info(self) -> Message:
        return self.call("lnrpc.Lightning/GetInfo")

    def new_address(self, *, taproot: bool = False, nested: bool = False) -> str:
        """A new address of the wallet: P2WPKH, P2TR, or P2WPKH inside of P2SH."""
        kind = "TAPROOT_PUBKEY" if taproot else "NESTED_PUBKEY_HASH" if nested else "WITNESS_PUBKEY_HASH"
        return str(self.call("lnrpc.Lightning/NewAddress", type=kind).address)

    def watch_address(self) -> str:
        """A new address of a key that was imported: the wallet lists its coins, and cannot spend them."""
        private = scripts.key(os.urandom(32), "the operator's")
        public_key = bytes.fromhex(scripts.pubkey(private))
        self.call("walletrpc.WalletKit/ImportPublicKey", public_key=public_key, address_type="WITNESS_PUBKEY_HASH")
        return scripts.address(scripts.p2wpkh(private))

    def bake_macaroon(self, methods: Iterable[str]) -> str:
        """A macaroon (hex) that allows these methods ("/package.Service/Method") and nothing else."""
        permissions = [{"entity": "uri", "action": method} for method in methods]
        return str(self.call("lnrpc.Lightning/BakeMacaroon", permissions=permissions, root_key_id=7).macaroon)

    def balance(self) -> Balance:
        wallet = self.call("lnrpc.Lightning/WalletBalance")
        channels = self.call("lnrpc.Lightning/ChannelBalance")
        return Balance(wallet.confirmed_balance, wallet.unconfirmed_balance, channels.local_balance.sat)

    def send_coins(self, address: str, amount_sat: int, *, sat_per_vbyte: int = 5, **fields: Any) -> str:
        """The wallet's transaction is in the mempool; its id."""
        sent = self.call(
            "lnrpc.Lightning/SendCoins", addr=address, amount=amount_sat, sat_per_vbyte=sat_per_vbyte, **fields
        )
        return str(sent.txid)

    def transactions(self) -> list[Message]:
        """The wallet's transactions, also those without a block."""
        found = self.call("lnrpc.Lightning/GetTransactions", start_height=0, end_height=-1)
        return list(found.transactions)

    def wallet_label(self, txid: str) -> str | None:
        """The label of the wallet's transaction; None when the wallet has no such transaction."""
        labels = {transaction.tx_hash: str(transaction.label) for transaction in self.transactions()}
        return labels.get(txid)

    def leases(self) -> list[Message]:
        """The outputs that are set aside (walletrpc.UtxoLease)."""
        return list(self.call("walletrpc.WalletKit/ListLeases").locked_utxos)

    def rival_of(self, txid: str) -> str:
        """A transaction (hex) that takes the first coin of the wallet's own transaction `txid` back to the wallet.

        Only one of the two can confirm. Meant for `Btcd.mine_only` and `Btcd.reorganise`: the mempool refuses it while
        it has the other.
        """
        spent = self.chain.transaction(txid)["vin"][0]
        output = self.chain.transaction(spent["txid"])["vout"][spent["vout"]]
        amount_sat = round(output["value"] * COIN_SAT)
        coin = Coin(spent["txid"], spent["vout"], amount_sat)
        back = [Output(script_of(self.new_address()), amount_sat - FEE_SAT)]
        previous = {"value": amount_sat, "pk_script": bytes.fromhex(output["scriptPubKey"]["hex"])}
        scripts = self.call(
            "signrpc.Signer/ComputeInputScript",
            raw_tx_bytes=unsigned([coin], back),
            sign_descs=[{"output": previous, "sighash": _SIGHASH_ALL, "input_index": 0}],
            prev_outputs=[previous],
        )
        return signed([coin], back, [scripts.input_scripts[0].witness])

    # Payments

    def invoice(self, amount_sat: int, **fields: Any) -> str:
        """A new invoice (BOLT 11)."""
        return str(self.call("lnrpc.Lightning/AddInvoice", value=amount_sat, **fields).payment_request)

    def invoices(self) -> list[Message]:
        return list(self.call("lnrpc.Lightning/ListInvoices", num_max_invoices=10_000).invoices)

    def pay(self, invoice: str, *, timeout_seconds: int = 60, fee_limit_sat: int = 10_000, **fields: Any) -> Payment:
        """The payment of `invoice` has begun."""
        limits = {"timeout_seconds": timeout_seconds, "fee_limit_sat": fee_limit_sat}
        return Payment(self.stream("routerrpc.Router/SendPaymentV2", payment_request=invoice, **limits, **fields))

    # Peers and channels

    def connect(self, other: Lnd) -> None:
        """Both nodes list each other as peers. Repeat: safe."""
        try:
            self.call("lnrpc.Lightning/ConnectPeer", addr={"pubkey": other.pubkey, "host": other.p2p_host}, perm=True)
        except grpc.RpcError as problem:
            if "already connected" not in str(problem.details()):
                raise
        until(lambda: self.has_peer(other) and other.has_peer(self), f"{self.name} and {other.name} are connected")

    def disconnect(self, other: Lnd) -> None:
        """The connection was cut. With an open channel the nodes soon connect again by themselves."""
        self.call("lnrpc.Lightning/DisconnectPeer", pub_key=other.pubkey)

    def has_peer(self, other: Lnd) -> bool:
        peers = self.call("lnrpc.Lightning/ListPeers").peers
        return any(peer.pub_key == other.pubkey for peer in peers)

    def channels(self, other: Lnd | None = None) -> list[Message]:
        """The open channels, or those with `other`."""
        peer = bytes.fromhex(other.pubkey) if other else b""
        return list(self.call("lnrpc.Lightning/ListChannels", peer=peer).channels)

    def pending_channels(self) -> Message:
        """lnd's own answer: pending_open_channels, waiting_close_channels, pending_force_closing_channels."""
        return self.call("lnrpc.Lightning/PendingChannels")

    def closed_channels(self) -> list[Message]:
        return list(self.call("lnrpc.Lightning/ClosedChannels").channels)

    def open_channel(self, other: Lnd, amount_sat: int, push_sat: int = 0, **fields: Any) -> str:
        """A channel to `other` that is active, announced (unless `private=True`) and ready to pay; its point.

        Blocks are mined for it.
        """
        self.connect(other)
        fields = {"sat_per_vbyte": 2, **fields}
        opening = self.stream(
            "lnrpc.Lightning/OpenChannel",
            node_pubkey=bytes.fromhex(other.pubkey),
            local_funding_amount=amount_sat,
            push_sat=push_sat,
            **fields,
        )
        pending = next(opening).chan_pending
        opening.cancel()
        point = f"{pending.txid[::-1].hex()}:{pending.output_index}"
        self.chain.mine(ANNOUNCED_BLOCKS)
        payer, payee = (self, other) if push_sat * 2 < amount_sat else (other, self)
        until(lambda: self.is_active(point) and other.is_active(point), f"channel {point} is active")
        until(lambda: payer.is_settled_in(point) and payer.has_route(payee), f"{payer.name} can pay {payee.name}")
        return point

    def is_active(self, point: str) -> bool:
        return any(channel.active and channel.channel_point == point for channel in self.channels())

    def is_settled_in(self, point: str) -> bool:
        """The channel is announced as this node sees it, or never will be (private).

        Just before that lnd takes it out of its map and puts it back: payments fail for lack of balance meanwhile.
        """
        (channel,) = (each for each in self.channels() if each.channel_point == point)
        if channel.private:
            return True
        try:
            listed = self.call("lnrpc.Lightning/GetChanInfo", chan_point=point, include_auth_proof=True)
        except grpc.RpcError:
            return False
        return bool(listed.HasField("auth_proof"))

    def has_route(self, other: Lnd, amount_sat: int = 1) -> bool:
        """The node would find a way to pay `other` now. A channel is active some time before that."""
        try:
            return bool(self.call("lnrpc.Lightning/QueryRoutes", pub_key=other.pubkey, amt=amount_sat).routes)
        except grpc.RpcError:
            return False

    def close_channel(self, point: str, *, force: bool = False) -> str:
        """The closing transaction is in the mempool; its id."""
        txid, _, vout = point.partition(":")
        fee = {} if force else {"sat_per_vbyte": 2}
        closing = self.stream(
            "lnrpc.Lightning/CloseChannel",
            channel_point={"funding_txid_str": txid, "output_index": int(vout)},
            force=force,
            **fee,
        )
        closing_txid = next(closing).close_pending.txid[::-1].hex()
        closing.cancel()
        return str(closing_txid)

    def closed_channel(self, point: str) -> tuple[str, str] | None:
        """How the channel was closed, by this node's word, and its closing transaction; None while it is not."""
        found = self.call("lnrpc.Lightning/ClosedChannels").channels
        closed = next((each for each in found if each.channel_point == point), None)
        if closed is None:
            return None
        kind = closed.DESCRIPTOR.fields_by_name["close_type"].enum_type.values_by_number[closed.close_type].name
        return kind.lower(), str(closed.closing_tx_hash)

    def set_policy(self, point: str, *, base_msat: int, ppm: int) -> None:
        """So much is asked for forwarding over the channel, as a person would set it."""
        txid, _, index = point.partition(":")
        self.call(
            "lnrpc.Lightning/UpdateChannelPolicy",
            chan_point={"funding_txid_str": txid, "output_index": int(index)},
            base_fee_msat=base_msat,
            fee_rate_ppm=ppm,
            time_lock_delta=90,
        )

    def policy_of(self, point: str, pubkey: str) -> tuple[int, int, int] | None:
        """What the node with this key asks over the channel, as this node knows it: base, ppm, blocks."""
        try:
            edge = self.call("lnrpc.Lightning/GetChanInfo", chan_point=point)
        except grpc.RpcError:
            return None
        policy = edge.node1_policy if edge.node1_pub == pubkey else edge.node2_policy
        return policy.fee_base_msat, policy.fee_rate_milli_msat, policy.time_lock_delta

    # Messages that are not Lightning's own

    def say(self, other: Lnd, data: bytes, *, type: int = 37_913) -> None:
        """The peer's node has been sent the message."""
        self.call("lnrpc.Lightning/SendCustomMessage", peer=bytes.fromhex(other.pubkey), type=type, data=data)

    @contextmanager
    def hearing(self) -> Iterator[list[tuple[int, bytes]]]:
        """While it lasts, the list grows by each message (type, data) that a peer sends to this node."""
        heard: list[tuple[int, bytes]] = []
        stream = self.stream("lnrpc.Lightning/SubscribeCustomMessages")

        def listen() -> None:
            with suppress(grpc.RpcError):
                heard.extend((message.type, message.data) for message in stream)

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        time.sleep(0.3)  # it does not say when it has begun
        yield heard
        stream.cancel()
        listening.join(5)

    def answering_channels(self, answer: Answer) -> AbstractContextManager[list[Any]]:
        """While it lasts, `answer` decides about each channel that this node is offered; yields the offers."""
        return answering_channels(self, answer)

    @contextmanager
    def refusing_channels(self, text: str) -> Iterator[list[Any]]:
        """While it lasts, this node refuses every channel with this text; yields the offers."""
        with answering_channels(self, lambda offer: {"accept": False, "error": text}) as offers:
            yield offers

    @contextmanager
    def accepting_zero_conf(self) -> Iterator[list[Any]]:
        """While it lasts, this node takes channels that have no confirmation yet; yields the offers."""

        def answer(offer: Any) -> dict[str, Any]:
            return {"accept": True, "zero_conf": offer.wants_zero_conf}

        with answering_channels(self, answer) as offers:
            yield offers
