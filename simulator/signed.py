"""Messages that a node signs for who knows its key: LND's SignMessage. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from embit.util import secp256k1

_PREFIX: Final = b"Lightning Signed Message:"
_LETTERS: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"
#: What tells a signature that a compressed key is recovered from: 27 for those, and 4 for compressed ones.
_FIRST: Final = 31


def digest(message: bytes) -> bytes:
    """What is signed of it."""
    return hashlib.sha256(hashlib.sha256(_PREFIX + message).digest()).digest()


def message(said: bytes, private: Any) -> str:
    """Its signature, of 65 bytes, in zbase32."""
    signature = secp256k1.ecdsa_sign_recoverable(digest(said), private.secret)
    compact, recovery = secp256k1.ecdsa_recoverable_signature_serialize_compact(signature)
    return zbase32(bytes([_FIRST + recovery]) + compact)


def zbase32(data: bytes) -> str:
    """Five bits a letter; the last is filled up with zeros."""
    bits = len(data) * 8
    filled = int.from_bytes(data, "big") << (-bits % 5)
    count = (bits + 4) // 5
    return "".join(_LETTERS[filled >> 5 * (count - 1 - at) & 31] for at in range(count))
