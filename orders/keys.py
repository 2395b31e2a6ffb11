"""What is derived from our two secrets, so that it need not be stored."""

from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

from django.conf import settings


def preimage(order_id: UUID) -> bytes:
    """The preimage of the order's hold invoice.

    Money: who knows it can settle the payment. Derived under a key that is kept outside of the database, so that
    neither a copy of the database gives it away nor a lost row loses it.
    """
    return hmac.new(bytes.fromhex(settings.PREIMAGE_KEY), order_id.bytes, hashlib.sha256).digest()


def payment_hash(order_id: UUID) -> str:
    """The payment hash of the order's hold invoice."""
    return hashlib.sha256(preimage(order_id)).hexdigest()


def order_token(order_id: UUID) -> str:
    """Who holds it may say where the order's money goes; the order's id alone may not."""
    return _keyed("order-token", str(order_id))


def client_hash(address: str) -> str:
    """A buyer's network address, told apart but not stored."""
    return _keyed("client", address)


def _keyed(purpose: str, text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
