"""What is derived from our two secrets, so that it need not be stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final
from uuid import UUID

from Crypto.Cipher import AES
from Crypto.Cipher._mode_ecb import EcbMode
from django.conf import settings

#: 16 bytes of the enciphered id and 4 of the check, five bits a letter.
_REFERENCE: Final = re.compile(r"[a-z2-7]{32}", re.ASCII)
_CHECK_BYTES: Final = 4


def preimage(order_id: UUID) -> bytes:
    """The preimage of the order's hold invoice.

    Money: who knows it can settle the payment. Derived under a key that is kept outside of the database, so that
    neither a copy of the database gives it away nor a lost row loses it.
    """
    return hmac.new(bytes.fromhex(settings.PREIMAGE_KEY), order_id.bytes, hashlib.sha256).digest()


def payment_hash(order_id: UUID) -> str:
    """The payment hash of the order's hold invoice."""
    return hashlib.sha256(preimage(order_id)).hexdigest()


def reference(order_id: UUID) -> str:
    """The order's name for eyes that may not know its id: invoice memos, and addresses of the admin's pages.

    Who has PREIMAGE_KEY reads it back without a database, so that a payment whose row was lost is still found. AES on
    this one block is a pseudo-random permutation: to all others it is random text, and says nothing of the id.
    """
    block = _block_cipher().encrypt(order_id.bytes)
    return base64.b32encode(block + _check(block)).decode().lower()


def order_of_reference(text: str) -> UUID | None:
    """The order that `text` is the reference of; None: it is none of ours.

    Other programs' words at the same node must not be taken for ours: the check is wrong for all but one in four
    thousand million, and what they decipher to would have to be the id of an order besides.
    """
    if not _REFERENCE.fullmatch(text.lower()):
        return None
    written = base64.b32decode(text.upper())
    block, check = written[:-_CHECK_BYTES], written[-_CHECK_BYTES:]
    if not hmac.compare_digest(check, _check(block)):
        return None
    order_id = UUID(bytes=_block_cipher().decrypt(block))
    return order_id if order_id.version == 4 else None


def _block_cipher() -> EcbMode:
    return AES.new(_for_references("cipher"), AES.MODE_ECB)


def _check(block: bytes) -> bytes:
    return hmac.new(_for_references("check"), block, hashlib.sha256).digest()[:_CHECK_BYTES]


def _for_references(purpose: str) -> bytes:
    return _derived(settings.PREIMAGE_KEY, purpose)


@lru_cache(maxsize=8)
def _derived(key: str, purpose: str) -> bytes:
    """A key of their own. What is hashed is longer than an order's id: else it would be the preimage of some order."""
    text = f"order-reference:{purpose}".encode()
    return hmac.new(bytes.fromhex(key), text, hashlib.sha256).digest()


def is_order_token(text: str, order_id: UUID) -> bool:
    """`text` is the order's token; how much of it is right shows in no time that it takes."""
    return hmac.compare_digest(text.encode(errors="surrogatepass"), order_token(order_id).encode())


def order_token(order_id: UUID) -> str:
    """Who holds it may say where the order's money goes; the order's id alone may not."""
    return _keyed("order-token", str(order_id))


def client_hash(address: str) -> str:
    """A buyer's network address, told apart but not stored."""
    return _keyed("client", address)


def peer_hash(pubkey: str) -> str:
    """A buyer who is known by his node's key, which he has proven. Nobody's network address looks like it."""
    return client_hash(f"node:{pubkey}")


def connection_hash(address: str) -> str:
    """From where a peer has connected to us, told apart but not stored."""
    return _keyed("connection", address)


def _keyed(purpose: str, text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
