"""Channels that are over, as the node tells of them."""

from __future__ import annotations

from typing import Any

from lightning.types import ClosedChannel, Outpoint
from orders import queries
from orders.models import ChannelOrder, Refund
from orders.openings import following
from orders.states import InvoiceState
from tests.factories import OrderFactory
from tests.scripted import ScriptedNode


class Closing(ScriptedNode):
    """A node whose channels are over."""


def closed(
    node: Closing, order: ChannelOrder, kind: str, by_us: bool | None, *, height: int = 0
) -> tuple[ChannelOrder, list[Refund]]:
    """The node says so, and somebody looks."""
    opening = order.openings.get()
    outpoint = Outpoint.parse(opening.funding_outpoint)
    node.closed.append(ClosedChannel(outpoint, order.node_pubkey, 1, 1, "cc" * 32, height, kind, by_us))
    following.follow(order.pk, node)  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    return order, list(order.refunds.all())


def standing(order: ChannelOrder) -> list[str]:
    return [flag.kind for flag in queries.order_or_raise(order.pk).standing]


def unused(**fields: Any) -> ChannelOrder:
    """Its funding is deep, and the channel was never active."""
    made: ChannelOrder = OrderFactory(
        opening=True,
        attempts__confirmed=True,
        lease_starts_height=801,
        **{"invoice__state": InvoiceState.SETTLED, **fields},
    )
    return made
