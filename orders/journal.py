"""The order's row and its journal: locked, written and saved together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orders import trail
from orders.actors import Authority
from orders.causes import Cause
from orders.errors import OrderNotFound
from orders.models import ChannelOrder, OrderEvent
from orders.postgres.known import ByKey

log = logging.getLogger(__name__)

_LOCKED: Final = ByKey(lambda: ChannelOrder.objects.select_for_update(of=("self",)).select_related("service"))


@contextmanager
def locked(order_id: UUID) -> Iterator[ChannelOrder]:
    """The order's row is ours until the block ends; what was moved, journalled or nudged in it is saved with it.

    Durable: it commits when it ends, so that no node call can find itself inside of it.
    Raises: OrderNotFound.
    """
    with transaction.atomic(durable=True):
        order = _LOCKED.get(order_id)
        if order is None:
            raise OrderNotFound
        before = (order.version, order.step, order.due_at)
        yield order
        if (order.version, order.step, order.due_at) != before:
            order.save()


def write(order: ChannelOrder, before: str, cause: Cause, actor: Authority, facts: dict[str, Any]) -> None:
    """The journal has one more row, with the facts that say something, and the trail too where a person acts.

    The caller holds the order's row.
    """
    order.version += 1
    tell(order, before, cause, actor)
    trail.deed(actor, cause.label, order.pk, {"cause": cause, "version": order.version})
    OrderEvent.objects.create(
        order=order,
        version=order.version,
        at=timezone.now(),
        actor=str(actor),
        cause=cause,
        from_state=before,
        to_state=order.state,
        facts={key: value for key, value in facts.items() if value not in ("", None)},
    )


def tell(order: ChannelOrder, before: str, cause: Cause, actor: Authority) -> None:
    """The log has a line of this row, once it is committed."""
    move = f"order={order.pk} version={order.version} state={before or '-'}->{order.state} cause={cause} actor={actor}"
    transaction.on_commit(lambda: log.info(move))
