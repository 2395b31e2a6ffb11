"""The coins of an order's funding stay leased under its id, and are free afterwards."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.conf import settings

from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Outpoint
from orders import keys
from orders.models import WalletTransaction


def renew(order_id: UUID, transaction: WalletTransaction, node: LndNode) -> None:
    """Nobody else takes these coins for another day.

    A restarted wallet can forget an evicted transaction and spend its coins again: so they stay leased, at every
    look, until the funding is deep. Repeat: safe.
    """
    for outpoint, _, _ in transaction.inputs:
        with suppress(NotFound, Rejected):  # spent in a block: nothing to keep
            node.lease(Outpoint.parse(outpoint), lock_id=keys.lock_id(order_id), seconds=settings.FUNDING_LEASE_SECONDS)


def held(order_id: UUID, node: LndNode) -> list[Outpoint]:
    """The coins that are leased for this order."""
    lock_id = keys.lock_id(order_id)
    return [lease.outpoint for lease in node.leases() if lease.lock_id == lock_id]


def release(order_id: UUID, node: LndNode) -> None:
    """No coin is leased for this order. Repeat: safe."""
    for outpoint in held(order_id, node):
        node.release(outpoint, lock_id=keys.lock_id(order_id))
