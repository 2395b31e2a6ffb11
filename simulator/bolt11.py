"""Payment requests (BOLT 11), written and signed. Amounts, hash, expiry and the rest are as any wallet reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import bech32
from embit.util import secp256k1

_PREFIX = "lnbcrt"  # regtest
#: var_onion_optin and payment_secret, both required, and basic_mpp.
_FEATURE_BITS = (8, 14, 17)
_CHARACTERS = {letter: number for number, letter in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}


def encode(
    *,
    private: Any,
    payment_hash: bytes,
    payment_secret: bytes,
    amount_msat: int,
    created_at: int,
    description: str,
    expiry_seconds: int,
    cltv_blocks: int,
    hint: tuple[str, int, int, int, int] | None = None,
) -> str:
    """The request as a QR code would carry it, in lower case.

    `hint` is the way from a node to the receiver: its key, the channel's number, base fee, ppm and blocks.
    """
    human = _PREFIX + _amount(amount_msat)
    words = [
        *_number(created_at, 7),
        *_bytes_field("p", payment_hash),
        *_bytes_field("d", description.encode()),
        *_number_field("x", expiry_seconds),
        *_number_field("c", cltv_blocks),
        *_bytes_field("s", payment_secret),
        *(_bytes_field("r", _hop(*hint)) if hint else ()),
        *_field("9", _features()),
    ]
    signed = human.encode() + _packed(words)
    signature = secp256k1.ecdsa_sign_recoverable(hashlib.sha256(signed).digest(), private.secret)
    compact, recovery = secp256k1.ecdsa_recoverable_signature_serialize_compact(signature)
    words += _words(compact + bytes([recovery]))
    return str(bech32.bech32_encode(human, words))


def _hop(pubkey: str, scid: int, base_msat: int, ppm: int, cltv_blocks: int) -> bytes:
    sizes = ((scid, 8), (base_msat, 4), (ppm, 4), (cltv_blocks, 2))
    return bytes.fromhex(pubkey) + b"".join(number.to_bytes(size, "big") for number, size in sizes)


def _amount(amount_msat: int) -> str:
    """In the largest unit that leaves a whole number; the smallest is a tenth of a millisatoshi."""
    if not amount_msat:
        return ""
    for letter, one_msat in (("", 10**11), ("m", 10**8), ("u", 10**5), ("n", 10**2)):
        if amount_msat % one_msat == 0:
            return f"{amount_msat // one_msat}{letter}"
    return f"{amount_msat * 10}p"


def _field(letter: str, words: list[int]) -> list[int]:
    return [_CHARACTERS[letter], *_number(len(words), 2), *words]


def _bytes_field(letter: str, value: bytes) -> list[int]:
    return _field(letter, _words(value))


def _number_field(letter: str, value: int) -> list[int]:
    return _field(letter, _number(value, max(1, -(-value.bit_length() // 5))))


def _number(value: int, words: int) -> list[int]:
    return [value >> (5 * place) & 31 for place in reversed(range(words))]


def _features() -> list[int]:
    value = sum(1 << bit for bit in _FEATURE_BITS)
    return _number(value, -(-value.bit_length() // 5))


def _words(value: bytes) -> list[int]:
    converted = bech32.convertbits(value, 8, 5)
    assert converted is not None
    return list(converted)


def _packed(words: Iterable[int]) -> bytes:
    """As it is signed: whole bytes, the last one filled with zeros."""
    bits = "".join(f"{word:05b}" for word in words)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
