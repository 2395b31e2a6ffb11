"""The little of Bitcoin's wire format that the test chain needs: transactions and blocks of our own making.

Our coins are locked by a script that is always true, so the harness spends them without a key.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

COIN_SAT = 100_000_000
#: Regtest halves the subsidy early.
HALVING_BLOCKS = 150

_TRUE = b"\x51"
#: P2WSH of a script that is always true, and the address by which btcd knows it.
OURS = b"\x00\x20" + hashlib.sha256(_TRUE).digest()
OUR_ADDRESS = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85"

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_FINAL = 0xFFFFFFFF
_REPLACEABLE = 0xFFFFFFFD


@dataclass(frozen=True)
class Coin:
    """An unspent output."""

    txid: str
    vout: int
    amount_sat: int


@dataclass(frozen=True)
class Output:
    script: bytes
    amount_sat: int


@dataclass(frozen=True)
class Tip:
    """The block on which the next one is built."""

    hash: str
    height: int
    time: int
    bits: str


@dataclass(frozen=True)
class Block:
    """A block of our own making: its bytes, and itself as something to build on."""

    hex: str
    tip: Tip


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def subsidy_sat(height: int) -> int:
    """What the miner of the block at `height` may give itself."""
    return 50 * COIN_SAT >> (height // HALVING_BLOCKS)


def script_of(address: str) -> bytes:
    """The output script of a regtest address. Its checksum is not looked at: addresses come from the nodes."""
    if address.startswith("bcrt1"):
        return _witness_script(address)
    number = 0
    for letter in address:
        number = number * 58 + _BASE58.index(letter)
    hash160 = number.to_bytes(25, "big")[1:21]
    if address[0] == "2":
        return b"\xa9\x14" + hash160 + b"\x87"
    return b"\x76\xa9\x14" + hash160 + b"\x88\xac"


def _witness_script(address: str) -> bytes:
    values = [_BECH32.index(letter) for letter in address.removeprefix("bcrt1")[:-6]]
    version, digits = values[0], values[1:]
    number = 0
    for digit in digits:
        number = number << 5 | digit
    padding = len(digits) * 5 % 8
    program = (number >> padding).to_bytes(len(digits) * 5 // 8, "big")
    opcode = 0x50 + version if version else 0
    return bytes([opcode, len(program)]) + program


def unsigned(coins: Sequence[Coin], outputs: Sequence[Output]) -> bytes:
    """A transaction without witnesses, as signers want it."""
    return struct.pack("<i", 2) + _inputs_and_outputs(coins, outputs) + bytes(4)


def signed(
    coins: Sequence[Coin], outputs: Sequence[Output], witnesses: Sequence[Sequence[bytes]], *, sequence: int = _FINAL
) -> str:
    """A complete transaction, as hex; one witness for each coin."""
    stacks = b"".join(_size(len(stack)) + b"".join(map(_string, stack)) for stack in witnesses)
    spent = _inputs_and_outputs(coins, outputs, sequence)
    return (struct.pack("<i", 2) + b"\x00\x01" + spent + stacks + bytes(4)).hex()


def spend_ours(coins: Sequence[Coin], outputs: Sequence[Output], *, replaceable: bool = False) -> str:
    """A complete transaction that spends coins of `OUR_ADDRESS`, as hex. Only a replaceable one leaves the mempool
    for a rival that pays more.
    """
    return signed(coins, outputs, [[_TRUE] for _ in coins], sequence=_REPLACEABLE if replaceable else _FINAL)


def txid_of(unsigned_transaction: bytes) -> str:
    return double_sha256(unsigned_transaction)[::-1].hex()


def block(tip: Tip, transactions: Sequence[tuple[str, str]]) -> Block:
    """A block on `tip` with exactly these transactions, given as (txid, hex).

    It claims no fees, and it is never the same twice.
    """
    height = tip.height + 1
    wtxids = [bytes(32)] + [double_sha256(bytes.fromhex(raw)) for _, raw in transactions]
    commitment = double_sha256(_merkle_root(wtxids) + bytes(32))
    outputs = _outputs([Output(OURS, subsidy_sat(height)), Output(b"\x6a\x24\xaa\x21\xa9\xed" + commitment, 0)])
    script = _string(_number(height)) + _string(os.urandom(8))
    head, foot = struct.pack("<i", 1), bytes(4)
    body = b"\x01" + bytes(32) + struct.pack("<I", _FINAL) + _string(script) + struct.pack("<I", _FINAL) + outputs
    coinbase = head + b"\x00\x01" + body + b"\x01" + _string(bytes(32)) + foot
    txids = [double_sha256(head + body + foot)] + [bytes.fromhex(txid)[::-1] for txid, _ in transactions]
    everything = _size(len(txids)) + coinbase + b"".join(bytes.fromhex(raw) for _, raw in transactions)
    when = max(int(time.time()), tip.time + 1)
    header = _header(tip, _merkle_root(txids), when)
    return Block((header + everything).hex(), Tip(double_sha256(header)[::-1].hex(), height, when, tip.bits))


def _header(tip: Tip, merkle_root: bytes, when: int) -> bytes:
    """A header with enough work, which on regtest is every other one."""
    bits = int(tip.bits, 16)
    target = (bits & 0xFFFFFF) << 8 * ((bits >> 24) - 3)
    start = struct.pack("<i", 0x20000000) + bytes.fromhex(tip.hash)[::-1] + merkle_root
    start += struct.pack("<II", when, bits)
    nonce = 0
    while int.from_bytes(double_sha256(start + struct.pack("<I", nonce)), "little") > target:
        nonce += 1
    return start + struct.pack("<I", nonce)


def _inputs_and_outputs(coins: Sequence[Coin], outputs: Sequence[Output], sequence: int = _FINAL) -> bytes:
    inputs = b"".join(
        bytes.fromhex(coin.txid)[::-1] + struct.pack("<I", coin.vout) + b"\x00" + struct.pack("<I", sequence)
        for coin in coins
    )
    return _size(len(coins)) + inputs + _outputs(outputs)


def _outputs(outputs: Sequence[Output]) -> bytes:
    return _size(len(outputs)) + b"".join(
        struct.pack("<q", output.amount_sat) + _string(output.script) for output in outputs
    )


def _merkle_root(hashes: Sequence[bytes]) -> bytes:
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [double_sha256(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def _size(count: int) -> bytes:
    return bytes([count]) if count < 0xFD else b"\xfd" + struct.pack("<H", count)


def _string(data: bytes) -> bytes:
    return _size(len(data)) + data


def _number(value: int) -> bytes:
    """A positive script number: little-endian, with room for the sign."""
    return value.to_bytes(value.bit_length() // 8 + 1, "little")
