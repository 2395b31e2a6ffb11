"""A node that is an object: what buying and reading need, nothing that moves money."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from bech32 import encode

from lightning.errors import LightningError, NotFound, PeerOffline
from lightning.types import (
    Channel,
    FeeRates,
    Forward,
    Invoice,
    Lease,
    NodeAddress,
    NodeInfo,
    NodeInvoiceState,
    OpenedInvoice,
    Outpoint,
    Peer,
    PendingChannel,
    Utxo,
)

Answer = TypeVar("Answer")

OUR_KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def regtest_address(number: int) -> str:
    """A P2WPKH address of regtest that nobody has the key of."""
    address = encode("bcrt", 0, number.to_bytes(20, "big"))
    assert address is not None
    return address


class FakeNode:
    """Answers like a node with one BTC. `fails` is raised by every call; `calls` has their names."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.fails_at: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.spendable_sat = 100_000_000
        self.synced = True
        self.uris: tuple[str, ...] = (f"{OUR_KEY}@203.0.113.5:9735",)
        self.invoices: dict[str, Invoice] = {}
        #: What it has passed on, the oldest first.
        self.history: list[Forward] = []
        self.connected_peers: list[Peer] = []
        self.answers: set[str] = set()
        self.dialled: list[str] = []
        self.on_call: Callable[[str], None] = lambda name: None

    def info(self) -> NodeInfo:
        self._called("info")
        return NodeInfo(
            pubkey=OUR_KEY,
            alias="fake",
            uris=self.uris,
            version="0.20.0",
            network="regtest",
            block_height=800,
            best_header_at=1_700_000_000,
            synced_to_chain=self.synced,
            active_channels=0,
            wallet_synced=self.synced,
        )

    def require_active(self) -> None:
        self._called("require_active")

    def fee_rates(self, *, conf_target: int, seconds: float = 15.0) -> FeeRates:
        self._called("fee_rates")
        return FeeRates(estimate_sat_per_kw=2500, minimum_sat_per_kw=253)

    def required_reserve_sat(self, *, additional_public_channels: int) -> int:
        self._called("required_reserve_sat")
        return 10_000 * additional_public_channels

    def coins(self, *, min_confirmations: int) -> tuple[Utxo, ...]:
        self._called("coins")
        coin = Utxo(Outpoint("aa" * 32, 0), regtest_address(1), self.spendable_sat, 100)
        return (coin,) if self.spendable_sat else ()

    def foreign_coins(self, coins: Any) -> tuple[Utxo, ...]:
        self._called("foreign_coins")
        return ()

    def leases(self) -> tuple[Lease, ...]:
        self._called("leases")
        return ()

    def channels(self) -> tuple[Channel, ...]:
        self._called("channels")
        return ()

    def known_hosts(self, pubkey: str) -> tuple[str, ...]:
        self._called("known_hosts")
        return ()

    def pending_channels(self, *, seconds: float = 0) -> tuple[PendingChannel, ...]:
        self._called("pending_channels")
        return ()

    def peers(self, *, seconds: float = 0) -> tuple[Peer, ...]:
        self._called("peers")
        return tuple(self.connected_peers)

    def begin_dialling(self, address: NodeAddress, *, timeout_seconds: int) -> Future[Any]:
        """Nobody is there, but for who `answers` a dial."""
        self._called("begin_dialling")
        self.dialled.append(str(address))
        ended: Future[Any] = Future()
        if address.pubkey in self.answers:
            self.connected_peers.append(Peer(address.pubkey, address.host, inbound=False))
            ended.set_result(None)
        else:
            ended.set_exception(PeerOffline("connection refused", reason="PEER_NOT_REACHABLE"))
        return ended

    def forwards(self, *, from_second: int, skip: int, most: int) -> tuple[Forward, ...]:
        """As LND pages its history: from a second on, without the first so many."""
        self._called("forwards")
        later = [each for each in self.history if each.at_ns >= from_second * 10**9]
        return tuple(later[skip : skip + most])

    def channels_with(self, pubkey: str, *, seconds: float = 0) -> tuple[Channel, ...]:
        self._called("channels_with")
        return ()

    def begin_channels_with(self, pubkey: str) -> Callable[[], tuple[Channel, ...]]:
        return _begun(lambda: self.channels_with(pubkey))

    def begin_hold_invoice(self, **what: Any) -> Callable[[], OpenedInvoice]:
        return _begun(lambda: self.add_hold_invoice(**what))

    def add_hold_invoice(
        self, *, payment_hash: str, amount_sat: int, memo: str, expiry_seconds: int, cltv_blocks: int
    ) -> OpenedInvoice:
        self._called("add_hold_invoice")
        index = len(self.invoices) + 1
        request = f"lnbcrt{amount_sat}fake{payment_hash}"
        self.invoices[payment_hash] = Invoice(payment_hash, request, memo, amount_sat, NodeInvoiceState.OPEN, index)
        return OpenedInvoice(request, index)

    def invoice(self, payment_hash: str) -> Invoice:
        self._called("invoice")
        if payment_hash not in self.invoices:
            raise NotFound("unable to locate invoice")
        return self.invoices[payment_hash]

    def newest_add_index(self) -> int:
        self._called("newest_add_index")
        return len(self.invoices)

    def cancel_invoice(self, payment_hash: str) -> None:
        self._called("cancel_invoice")
        if self.invoices.pop(payment_hash, None) is None:
            raise NotFound

    def new_address(self) -> str:
        self._called("new_address")
        return regtest_address(1000 + len(self.calls))

    def allows(self, method: str) -> bool:
        return True

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.on_call(name)
        error: Any = self.fails or self.fails_at.get(name)
        if error is not None:
            raise error


def _begun(call: Callable[[], Answer]) -> Callable[[], Answer]:
    """It is made at once, and what comes of it is told to who waits for it."""
    ended: Future[Answer] = Future()
    try:
        ended.set_result(call())
    except LightningError as error:
        ended.set_exception(error)
    return ended.result
