"""The encrypted transport between Lightning nodes, as the one who is dialled speaks it (BOLT 8).

Enough for a stranger of the tests: its keys are never changed, which lasts for 500 messages each way.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Iterator
from hashlib import sha256
from itertools import count

from Crypto.Cipher import ChaCha20_Poly1305
from fastecdsa.curve import secp256k1
from fastecdsa.encoding.sec1 import SEC1Encoder
from fastecdsa.point import Point

_NOISE = b"Noise_XK_secp256k1_ChaChaPoly_SHA256"
_PUBKEY, _TAG = 33, 16


class HungUp(Exception):
    """The other side is gone, or does not speak to us."""


def compressed(secret: int) -> bytes:
    """The public key of a secret one, 33 bytes."""
    return bytes(SEC1Encoder.encode_public_key(secp256k1.G * secret))


def new_secret() -> int:
    return secrets.randbelow(secp256k1.q - 1) + 1


def _shared(secret: int, pubkey: bytes) -> bytes:
    point: Point = SEC1Encoder.decode_public_key(pubkey, secp256k1)
    return sha256(SEC1Encoder.encode_public_key(point * secret)).digest()


def _two_keys(salt: bytes, known: bytes) -> tuple[bytes, bytes]:
    """HKDF-SHA256 of 64 bytes, halved."""
    key = hmac.digest(salt, known, "sha256")
    first = hmac.digest(key, b"\x01", "sha256")
    return first, hmac.digest(key, first + b"\x02", "sha256")


def _cipher(key: bytes, number: int, beside: bytes) -> ChaCha20_Poly1305.ChaCha20Poly1305Cipher:
    cipher = ChaCha20_Poly1305.new(key=key, nonce=bytes(4) + number.to_bytes(8, "little"))
    cipher.update(beside)
    return cipher


def _seal(key: bytes, number: int, plain: bytes, beside: bytes = b"") -> bytes:
    sealed, tag = _cipher(key, number, beside).encrypt_and_digest(plain)
    return sealed + tag


def _open(key: bytes, number: int, sealed: bytes, beside: bytes = b"") -> bytes:
    return _cipher(key, number, beside).decrypt_and_verify(sealed[:-_TAG], sealed[-_TAG:])


class Line:
    """A connection of which the handshake is done: whole messages, in and out."""

    def __init__(self, connection: socket.socket, secret: int) -> None:
        self._connection = connection
        self._receiving, self._sending = self._shake_hands(secret)
        self._received, self._sent = count(), count()

    def _shake_hands(self, secret: int) -> tuple[bytes, bytes]:
        chain = sha256(_NOISE).digest()
        seen = sha256(sha256(chain + b"lightning").digest() + compressed(secret)).digest()
        first = self._take(1 + _PUBKEY + _TAG)
        theirs = first[1:-_TAG]
        seen = sha256(seen + theirs).digest()
        chain, key = _two_keys(chain, _shared(secret, theirs))
        _open(key, 0, first[-_TAG:], seen)
        seen = sha256(seen + first[-_TAG:]).digest()
        ours = new_secret()
        seen = sha256(seen + compressed(ours)).digest()
        chain, key = _two_keys(chain, _shared(ours, theirs))
        tag = _seal(key, 0, b"", seen)
        seen = sha256(seen + tag).digest()
        self._connection.sendall(b"\x00" + compressed(ours) + tag)
        third = self._take(1 + _PUBKEY + _TAG + _TAG)
        named = _open(key, 1, third[1:-_TAG], seen)
        seen = sha256(seen + third[1:-_TAG]).digest()
        chain, key = _two_keys(chain, _shared(ours, named))
        _open(key, 0, third[-_TAG:], seen)
        return _two_keys(chain, b"")

    def send(self, message: bytes) -> None:
        length = len(message).to_bytes(2, "big")
        for part in (length, message):
            self._connection.sendall(_seal(self._sending, next(self._sent), part))

    def messages(self) -> Iterator[bytes]:
        """What the other side says, until it hangs up.

        Raises:
            HungUp: it has.
        """
        while True:
            length = _open(self._receiving, next(self._received), self._take(2 + _TAG))
            yield _open(self._receiving, next(self._received), self._take(int.from_bytes(length, "big") + _TAG))

    def _take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            more = self._connection.recv(count - len(taken))
            if not more:
                raise HungUp
            taken += more
        return taken
