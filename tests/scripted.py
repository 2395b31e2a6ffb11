"""A node whose answers a test sets, and that remembers what was asked of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning.errors import NotFound
from lightning.types import (
    ChainTransaction,
    Channel,
    ClosedChannel,
    Invoice,
    Lease,
    NodeInvoiceState,
    Outpoint,
    PendingChannel,
    PendingPhase,
    SignedPsbt,
)
from tests.fakes import FakeNode

BLOCK = "bb" * 32


class ScriptedNode(FakeNode):
    """Everything that moves money, by script."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Channel] = []
        self.pending: list[PendingChannel] = []
        self.closed: list[ClosedChannel] = []
        self.wallet: dict[str, ChainTransaction] = {}
        self.by_hash: dict[str, Invoice] = {}
        self.leased: list[Lease] = []
        self.abandoned: list[Outpoint] = []
        self.published: list[bytes] = []
        self.disconnected: list[str] = []
        self.connected: list[str] = []
        self.height = 800

    def info(self) -> Any:
        return replace(super().info(), block_height=self.height)

    def channels(self) -> Any:
        self._called("channels")
        return tuple(self.open)

    def channels_with(self, pubkey: str, *, seconds: float = 0) -> Any:
        self._called("channels_with")
        return tuple(each for each in self.open if each.peer_pubkey == pubkey)

    def pending_channels(self, *, seconds: float = 0) -> Any:
        self._called("pending_channels")
        return tuple(self.pending)

    def closed_channels(self) -> Any:
        self._called("closed_channels")
        return tuple(self.closed)

    def transaction(self, txid: str) -> ChainTransaction:
        if txid not in self.wallet:
            raise NotFound("can not find transaction")
        return self.wallet[txid]

    def transactions(self, *, from_height: int) -> Any:
        self._called("transactions")
        return tuple(t for t in self.wallet.values() if not t.block_height or t.block_height >= from_height)

    def block_hash(self, height: int) -> str:
        return BLOCK

    def invoice(self, payment_hash: str) -> Invoice:
        if payment_hash not in self.by_hash:
            raise NotFound("unable to locate invoice")
        return self.by_hash[payment_hash]

    def newest_add_index(self) -> int:
        return max((each.add_index for each in self.by_hash.values()), default=0)

    def pending_invoices(self, *, after_add_index: int) -> Any:
        return tuple(i for i in self.by_hash.values() if i.state in {NodeInvoiceState.OPEN, NodeInvoiceState.ACCEPTED})

    def settle_invoice(self, preimage: bytes) -> None:
        self._called("settle_invoice")
        raise NotFound("unable to locate invoice")

    def cancel_invoice(self, payment_hash: str) -> None:
        self._called("cancel_invoice")
        if payment_hash not in self.by_hash:
            raise NotFound("unable to locate invoice")

    def peers(self, *, seconds: float = 0) -> Any:
        return ()

    def leases(self) -> Any:
        self._called("leases")
        return tuple(self.leased)

    def lease(self, outpoint: Outpoint, *, lock_id: bytes, seconds: int) -> None:
        self._called("lease")

    def release(self, outpoint: Outpoint, *, lock_id: bytes) -> None:
        self._called("release")

    def cancel_shim(self, pending_chan_id: bytes) -> None:
        self._called("cancel_shim")

    def connect(
        self, address: Any, *, timeout_seconds: int, was_there: bool = False, believed_seconds: float = 0.0
    ) -> None:
        self._called("connect")
        self.connected.append(str(address))

    def disconnect(self, pubkey: str) -> None:
        self.disconnected.append(pubkey)
        self._called("disconnect")

    def abandon_channel(self, outpoint: Outpoint) -> None:
        self._called("abandon_channel")
        self.abandoned.append(outpoint)

    def publish(self, raw: bytes, *, label: str) -> None:
        self._called("publish")
        self.published.append(raw)

    def finalize_psbt(self, psbt: bytes) -> SignedPsbt:
        self._called("finalize_psbt")
        return SignedPsbt(psbt, psbt)

    def open_channel(self, **kwargs: Any) -> Any:
        self._called("open_channel")
        raise NotFound("scripted: stops here")


def mined(
    txid: str, *, confirmations: int = 3, height: int = 798, label: str = "", outputs: Any = (), inputs: Any = ()
) -> ChainTransaction:
    return ChainTransaction(
        txid, confirmations, height, 1_700_000_000, label, b"raw", tuple(outputs), tuple(inputs), BLOCK
    )


def unmined(txid: str, *, label: str = "", outputs: Any = (), inputs: Any = ()) -> ChainTransaction:
    return ChainTransaction(txid, 0, 0, 1_700_000_000, label, b"raw", tuple(outputs), tuple(inputs), "")


def channel(outpoint: Outpoint, order: Any, *, active: bool = True) -> Channel:
    return Channel(
        outpoint,
        order.node_pubkey,
        1,
        order.capacity_sat,
        order.lsp_balance_sat,
        order.client_balance_sat,
        order.client_balance_sat,
        active,
        False,
        True,
        str(order.pk),
    )


def pending(outpoint: Outpoint, order: Any) -> PendingChannel:
    return PendingChannel(
        outpoint,
        order.node_pubkey,
        PendingPhase.OPENING,
        order.capacity_sat,
        order.lsp_balance_sat,
        order.client_balance_sat,
        False,
        str(order.pk),
    )


def held(order: Any, state: NodeInvoiceState = NodeInvoiceState.ACCEPTED, expiry: int = 1088) -> Invoice:
    inv = order.hold_invoice
    return Invoice(
        inv.payment_hash,
        inv.payment_request,
        "",
        order.order_total_sat,
        state,
        inv.add_index,
        held_msat=order.order_total_sat * 1000,
        nearest_expiry_height=expiry,
    )
