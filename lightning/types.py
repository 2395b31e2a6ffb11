"""Frozen values that cross the border to the node. No framework, no gRPC."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_PUBKEY = re.compile(r"0[23][0-9a-f]{64}")
_TXID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Outpoint:
    """One output of one transaction, written `txid:index`."""

    txid: str
    index: int

    def __str__(self) -> str:
        return f"{self.txid}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ValueError when `text` is not `txid:index`."""
        txid, _, index = text.partition(":")
        if not _TXID.fullmatch(txid) or not index.isdecimal():
            raise ValueError(f"not an outpoint: {text!r}")
        return cls(txid, int(index))


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A Lightning node: its key and, where known, `host:port`."""

    pubkey: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.pubkey}@{self.host}" if self.host else self.pubkey

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `key` or `key@host[:port]` (split at the first @ and the last colon; IPv6 in brackets).

        Raises: ValueError with a sentence that can be shown to the buyer.
        """
        key, at, host = text.strip().partition("@")
        key = key.lower()
        if not _PUBKEY.fullmatch(key):
            raise ValueError("The node's key must be 66 hex digits that begin with 02 or 03.")
        if not _is_on_curve(key):
            raise ValueError("The node's key is not a point of the curve.")
        return cls(key, _host_and_port(host) if at else "")


def _host_and_port(text: str) -> str:
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        name, port = text, "9735"
    if not name or len(text) > 255 or not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name):
        raise ValueError("The node's host must be a name, an IPv4 address or a bracketed IPv6 address.")
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("The node's port must be between 1 and 65535.")
    return f"{name}:{int(port)}"


_FIELD = 2**256 - 2**32 - 977


def _is_on_curve(key: str) -> bool:
    x = int(key[2:], 16)
    if x >= _FIELD:
        return False
    square = (pow(x, 3, _FIELD) + 7) % _FIELD
    return pow(square, (_FIELD - 1) // 2, _FIELD) == 1


#: BOLT 9: who knows of it sets the odd bit, who insists on it the even one before.
_SCID_ALIAS = frozenset({46, 47})
_ZERO_CONF = frozenset({50, 51})


def takes_zero_conf(features: Set[int]) -> bool:
    """A node with these features can have channels before their funding is mined; they need a name in place of one."""
    return bool(features & _SCID_ALIAS) and bool(features & _ZERO_CONF)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What the node says of itself."""

    pubkey: str
    alias: str
    uris: tuple[str, ...]
    version: str
    network: str
    block_height: int
    best_header_at: int  # unix seconds
    synced_to_chain: bool  # wallet, graph and everything else; false for a moment at each block
    active_channels: int
    features: frozenset[int] = frozenset()
    wallet_synced: bool = False  # the wallet has read all blocks up to `block_height`


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that is connected to ours."""

    pubkey: str
    address: str
    inbound: bool
    features: frozenset[int] = frozenset()


class NodeInvoiceState(StrEnum):
    """The node's word for where an invoice is."""

    OPEN = "open"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Invoice:
    """A hold invoice as the node sees it."""

    payment_hash: str
    payment_request: str
    memo: str
    value_sat: int
    state: NodeInvoiceState
    add_index: int
    held_msat: int = 0  # HTLCs accepted and not resolved
    settled_msat: int = 0  # HTLCs settled
    nearest_expiry_height: int | None = None  # the earliest of the held HTLCs


@dataclass(frozen=True, slots=True)
class OpenedInvoice:
    """The answer to adding a hold invoice."""

    payment_request: str
    add_index: int


@dataclass(frozen=True, slots=True)
class Htlc:
    """A payment that a channel carries now, to our node (`incoming`) or from it.

    Of one that is passed on `other_channel` and `other_index` are those of its other half, and 0 while LND has not
    written down where it goes; of a payment of our own they are 0.
    """

    incoming: bool
    amount_sat: int  # without what is less than one
    payment_hash: str
    expiry_height: int
    index: int
    other_channel: int
    other_index: int
    locked_in: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """An open channel (its funding confirmed, or zero-conf).

    `short_channel_id` 0: it is zero-conf, and its funding in no block. Its `alias` names it before and ever after, also
    in the node's history of forwards; 0: it has none. It may have more of them (`aliases`), by each of which it is paid
    through.
    """

    outpoint: Outpoint
    peer_pubkey: str
    short_channel_id: int
    capacity_sat: int
    local_balance_sat: int
    remote_balance_sat: int
    push_sat: int
    active: bool
    private: bool
    initiated_by_us: bool
    memo: str
    watched_seconds: int = 0  # since when the node has kept an eye on the peer: its own start, or the channel's
    online_seconds: int = 0  # of these the peer was there
    zero_conf: bool = False
    alias: int = 0
    aliases: tuple[int, ...] = ()
    htlcs: tuple[Htlc, ...] = ()
    updates: int = 0  # how often its balances were agreed upon anew; 0: nothing was ever in it

    @property
    def known_as(self) -> int:
        """What LND calls it wherever it names a channel by number: its lists, what it forwards, its history."""
        return self.alias or self.short_channel_id


class PendingPhase(StrEnum):
    """Why a channel is pending."""

    OPENING = "opening"
    WAITING_CLOSE = "waiting_close"
    FORCE_CLOSING = "force_closing"


@dataclass(frozen=True, slots=True)
class PendingChannel:
    """A channel that is being opened or closed."""

    outpoint: Outpoint
    peer_pubkey: str
    phase: PendingPhase
    capacity_sat: int
    local_balance_sat: int
    remote_balance_sat: int
    private: bool
    memo: str
    closing_txid: str = ""


@dataclass(frozen=True, slots=True)
class ClosedChannel:
    """A channel that is over. LND keeps no memo of it."""

    outpoint: Outpoint
    peer_pubkey: str
    short_channel_id: int
    capacity_sat: int
    closing_txid: str
    close_height: int
    close_type: str  # cooperative_close, local_force_close, … funding_canceled, abandoned
    initiated_by_us: bool | None  # who asked for the close; None: unknown


@dataclass(frozen=True, slots=True)
class RoutingFee:
    """What our node asks of others for forwarding over one of its channels, to the peer."""

    outpoint: Outpoint
    base_msat: int
    ppm: int


@dataclass(frozen=True, slots=True)
class Forward:
    """A payment that the node has passed on. Its fee is what came in less what went out."""

    at_ns: int  # when it was settled, unix nanoseconds
    channel_in: int
    channel_out: int
    in_msat: int
    out_msat: int
    htlc_in: int | None  # its number in that channel; None: of a version of LND that did not keep it
    htlc_out: int | None


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """Something happened to a channel: open_channel, closed_channel, active_channel, pending_open_channel and so on."""

    kind: str
    outpoint: Outpoint | None


@dataclass(frozen=True, slots=True)
class PartsOnTheWay:
    """What a peer has committed to on a channel, by payment hash: to be refused, passed on, or held for an invoice."""

    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """A peer came or went."""

    pubkey: str
    online: bool


@dataclass(frozen=True, slots=True)
class CustomMessage:
    """What a peer sent that is no message of Lightning's own."""

    pubkey: str
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TxOutput:
    """One output of a wallet transaction."""

    index: int
    address: str
    amount_sat: int
    ours: bool


@dataclass(frozen=True, slots=True)
class ChainTransaction:
    """A transaction of the node's wallet. `confirmations` 0 and `block_height` 0: not mined.

    LND's wallet forgets to take back all but the last block of a reorganisation: what it says of depth is true only
    where `block_hash` is still in the chain (LndNode.block_hash).
    """

    txid: str
    confirmations: int
    block_height: int
    at: int  # unix seconds: of the block once mined, else when first seen
    label: str
    raw: bytes
    outputs: tuple[TxOutput, ...]
    inputs: tuple[Outpoint, ...]
    block_hash: str = ""  # of the block that the wallet thinks it is in


@dataclass(frozen=True, slots=True)
class Utxo:
    """A spendable coin of the node's wallet that is not leased.

    `is_nested`: native segwit inside of P2SH. What spends it has no final txid before it is signed, so that no channel
    can be made with it.
    """

    outpoint: Outpoint
    address: str
    amount_sat: int
    confirmations: int
    is_nested: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """An input that the wallet keeps for whoever knows `lock_id`."""

    outpoint: Outpoint
    lock_id: bytes
    expires_at: int  # unix seconds
    pk_script: bytes
    amount_sat: int

    @property
    def is_nested(self) -> bool:
        """The coin is of a P2SH address (see Utxo)."""
        return self.pk_script[:2] == b"\xa9\x14"


@dataclass(frozen=True, slots=True)
class FundedPsbt:
    """An unsigned transaction whose inputs are leased. `change_index` -1: no change."""

    psbt: bytes
    change_index: int
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class SignedPsbt:
    """A fully signed transaction."""

    psbt: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class FundingRequest:
    """What the peer and our node agreed to: pay exactly this output."""

    address: str
    amount_sat: int


@dataclass(frozen=True, slots=True)
class FeeRates:
    """In satoshis per 1,000 weight units."""

    estimate_sat_per_kw: int
    minimum_sat_per_kw: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as its bytes say (see `lightning.transactions`)."""

    txid: str
    inputs: tuple[Outpoint, ...]
    outputs: tuple[tuple[str, int], ...]  # (script hex, amount_sat)
    vbytes: int
    every_input_has_witness: bool = field(default=False)
