"""Who signed a message, as a wallet finds out: the key is recovered from a signature in zbase32. Spec: bLIP-50."""

from __future__ import annotations

import hashlib

from embit.util import secp256k1

_LETTERS = "ybndrfg8ejkmcpqxot1uwisza345h769"


def signer(message: bytes, signature: str) -> str:
    """The key, in hex; somebody's, whatever the message was."""
    raw = _bytes(signature)
    assert len(raw) == 65 and 31 <= raw[0] < 35, "a signature that a compressed key is recovered from"
    digest = hashlib.sha256(hashlib.sha256(b"Lightning Signed Message:" + message).digest()).digest()
    parsed = secp256k1.ecdsa_recoverable_signature_parse_compact(raw[1:], raw[0] - 31)
    key = secp256k1.ecdsa_recover(parsed, digest)
    return bytes(secp256k1.ec_pubkey_serialize(key, secp256k1.EC_COMPRESSED)).hex()


def _bytes(text: str) -> bytes:
    bits = "".join(f"{_LETTERS.index(letter):05b}" for letter in text)
    whole = bits[: len(bits) // 8 * 8]
    assert set(bits[len(whole) :]) <= {"0"}
    return bytes(int(whole[at : at + 8], 2) for at in range(0, len(whole), 8))
