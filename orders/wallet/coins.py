"""The coins of our transactions stay leased under their own id, and are free afterwards."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings

from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Outpoint
from orders.models import WalletTransaction


def renew(transaction: WalletTransaction, node: LndNode) -> None:
    """Nobody else takes these coins for another day.

    A restarted wallet can forget an evicted transaction and spend its coins again: so they stay leased, at every
    look, until the transaction is deep. Repeat: safe.
    """
    for outpoint in transaction.spends:
        with suppress(NotFound, Rejected):  # spent in a block: nothing to keep
            node.lease(outpoint, lock_id=bytes(transaction.lock_id), seconds=settings.FUNDING_LEASE_SECONDS)


def held(lock_id: bytes, node: LndNode) -> list[Outpoint]:
    """The coins that are leased under this id."""
    return [lease.outpoint for lease in node.leases() if lease.lock_id == lock_id]


def release(lock_id: bytes, node: LndNode) -> None:
    """No coin is leased under this id. Repeat: safe."""
    for outpoint in held(lock_id, node):
        node.release(outpoint, lock_id=lock_id)
