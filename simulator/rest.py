"""What an old node has at rest: channels, invoices and transactions by the thousand.

They are numbers, not things: each is made as it is asked for, always the same, and as large as LND's. So the state of a
simulator that was filled stays as small as before, and it stays as quick at everything else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final, TypeVar

from google.protobuf.message import Message

from lightning.proto import lnrpc_pb2 as ln
from simulator import scripts
from simulator.chain import Chain

#: Bytes of lnd 0.21's own messages, as measured: a channel with a memo, a closed one, a settled invoice, a payment of
#: the wallet's, a peer that is lnd too. LND fills fields that we have no use for, and do not declare.
CHANNEL_BYTES: Final = 335
CLOSED_BYTES: Final = 305
INVOICE_BYTES: Final = 687
TRANSACTION_BYTES: Final = 1_000
PEER_BYTES: Final = 582
#: Of those with a channel so many are connected.
_CONNECTED_PERCENT: Final = 80
#: A field that no message of LND's has.
_PADDING_TAG: Final = (9_999 << 3) | 2
_CAPACITY_SAT: Final = 5_000_000
_RAW_BYTES: Final = 222

Made = TypeVar("Made", bound=Message)


@dataclass(frozen=True)
class Rest:
    """So much of each, the transactions spread over these blocks."""

    seed: bytes = b""
    channels: int = 0
    closed: int = 0
    invoices: int = 0
    transactions: int = 0
    from_height: int = 0
    to_height: int = 0

    @property
    def peers(self) -> int:
        """How many of those with a channel are connected."""
        return self.channels * _CONNECTED_PERCENT // 100

    def open_channels(self, pubkey: str = "") -> list[ln.Channel]:
        """All of them, or those with one peer."""
        made = _channels(self)
        if not pubkey:
            return list(made.values())
        return [made[pubkey]] if pubkey in made else []

    def fees(self) -> list[ln.ChannelFeeReport]:
        """What is asked for forwarding over each channel."""
        return [
            ln.ChannelFeeReport(channel_point=each.channel_point, base_fee_msat=1_000, fee_per_mil=1)
            for each in self.open_channels()
        ]

    def connected(self) -> list[ln.Peer]:
        """The peers that are there."""
        return list(_peers(self))

    def closed_channels(self) -> list[ln.ChannelCloseSummary]:
        """Those that are over."""
        return list(_closed(self))

    def invoices_after(self, index: int, most: int) -> Iterator[ln.Invoice]:
        """Settled ones: nobody can pay them any more."""
        numbers = range(min(index, self.invoices) + 1, self.invoices + 1)
        return (_invoice(self.seed, number) for number in islice(numbers, most))

    def invoices_before(self, index: int, most: int) -> Iterator[ln.Invoice]:
        """The last of them that were added before that one, the oldest first; 0: the last of all."""
        last = min(index - 1, self.invoices) if index else self.invoices
        return (_invoice(self.seed, number) for number in range(max(1, last - most + 1), last + 1))

    def transactions_between(self, start: int, end: int, chain: Chain) -> Iterator[ln.Transaction]:
        """Payments of the wallet's that are mined in these blocks."""
        blocks = self.to_height - self.from_height + 1
        for height in range(max(start, self.from_height), min(end, self.to_height) + 1):
            place = height - self.from_height
            first, last = place * self.transactions // blocks, (place + 1) * self.transactions // blocks
            for number in range(first, last):
                yield _transaction(self.seed, number, height, chain)


def _text(seed: bytes, *what: object) -> str:
    """64 hex digits of its own for each thing."""
    return hashlib.sha256(seed + repr(what).encode()).hexdigest()


def _pubkey(seed: bytes, number: int) -> str:
    """Of the form of a key; nobody has it."""
    return "02" + _text(seed, "peer", number)


def _padded(message: Made, size: int) -> Made:
    """The message, as large as LND's."""
    missing = size - message.ByteSize() - 5
    if missing > 0:
        message.MergeFromString(_varint(_PADDING_TAG) + _varint(missing) + bytes(missing))
    return message


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


@lru_cache(maxsize=1)
def _channels(rest: Rest) -> dict[str, ln.Channel]:
    return {_pubkey(rest.seed, number): _channel(rest, number) for number in range(rest.channels)}


def _channel(rest: Rest, number: int) -> ln.Channel:
    channel = ln.Channel(
        active=number < rest.peers,
        remote_pubkey=_pubkey(rest.seed, number),
        channel_point=f"{_text(rest.seed, 'funding', number)}:0",
        chan_id=(100 << 40) + (number << 16),
        capacity=_CAPACITY_SAT,
        local_balance=_CAPACITY_SAT // 2,
        remote_balance=_CAPACITY_SAT // 2,
        initiator=True,
        lifetime=1_000_000,
        uptime=900_000,
    )
    return _padded(channel, CHANNEL_BYTES)


@lru_cache(maxsize=1)
def _peers(rest: Rest) -> tuple[ln.Peer, ...]:
    return tuple(
        _padded(ln.Peer(pub_key=_pubkey(rest.seed, number), address="192.0.2.1:9735"), PEER_BYTES)
        for number in range(rest.peers)
    )


@lru_cache(maxsize=1)
def _closed(rest: Rest) -> tuple[ln.ChannelCloseSummary, ...]:
    return tuple(_summary(rest, number) for number in range(rest.closed))


def _summary(rest: Rest, number: int) -> ln.ChannelCloseSummary:
    summary = ln.ChannelCloseSummary(
        channel_point=f"{_text(rest.seed, 'closed', number)}:0",
        closing_tx_hash=_text(rest.seed, "closing", number),
        remote_pubkey=_pubkey(rest.seed, -number),
        capacity=_CAPACITY_SAT,
        close_height=rest.from_height,
    )
    return _padded(summary, CLOSED_BYTES)


def _invoice(seed: bytes, number: int) -> ln.Invoice:
    invoice = ln.Invoice(
        memo="settled long ago",
        r_hash=bytes.fromhex(_text(seed, "invoice", number)),
        value=1_000,
        add_index=number,
        state=ln.Invoice.SETTLED,
    )
    return _padded(invoice, INVOICE_BYTES)


def _transaction(seed: bytes, number: int, height: int, chain: Chain) -> ln.Transaction:
    """Change comes back; the label is one that LND gives, so nobody takes it for a buyer's deposit."""
    block = chain.block_at(height)
    txid = _text(seed, "transaction", number)
    change = scripts.address(b"\x00\x14" + bytes.fromhex(txid)[:20])
    message = ln.Transaction(
        tx_hash=txid,
        num_confirmations=chain.height - height + 1,
        block_hash=block.hash,
        block_height=height,
        time_stamp=block.at,
        raw_tx_hex=(bytes.fromhex(txid) * 7)[:_RAW_BYTES].hex(),
        label="0:openchannel:shortchanid-109951162777600",
        output_details=[ln.OutputDetail(address=change, amount=100_000, is_our_address=True)],
        previous_outpoints=[ln.PreviousOutPoint(outpoint=f"{_text(seed, 'transaction', number - 1)}:0")],
    )
    return _padded(message, TRANSACTION_BYTES)
