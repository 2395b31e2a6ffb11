"""Channels that we close, for tests: a node that answers as it is told, and an order whose lease is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from lightning.errors import LightningError
from lightning.types import ClosedChannel, Outpoint, PendingPhase
from orders import actors, queries
from orders.advance import advance
from orders.models import ChannelOrder
from orders.states import InvoiceState
from tests.factories import OrderFactory
from tests.scripted import ScriptedNode, channel, pending

ADA = actors.staff("ada")
TXID = "cc" * 32
#: The block with which a lease of six weeks is over.
HEIGHT = 801 + 6 * 1008


class ClosingNode(ScriptedNode):
    """A node that closes channels, as it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Outpoint, bool]] = []
        self.answers: list[LightningError] = []
        self.closed: list[ClosedChannel] = []

    def close_channel(self, outpoint: Outpoint, *, force: bool, conf_target: int) -> str:
        self._called("close_channel")
        self.asked.append((outpoint, force))
        if self.answers:
            raise self.answers.pop(0)
        self.goes_away(outpoint)
        return TXID

    def goes_away(self, outpoint: Outpoint) -> None:
        """The close is in the mempool."""
        [there] = [each for each in self.open if each.outpoint == outpoint]
        self.open.remove(there)
        order = ChannelOrder.objects.get(pk=there.memo)
        self.pending.append(replace(pending(outpoint, order), phase=PendingPhase.WAITING_CLOSE, closing_txid=TXID))

    def over(self, kind: str = "cooperative_close", *, by_us: bool = True, height: int = HEIGHT + 3) -> None:
        """It is in the chain."""
        gone = self.pending.pop()
        self.closed.append(ClosedChannel(gone.outpoint, gone.peer_pubkey, 1, 1, TXID, height, kind, by_us))

    def closed_channels(self) -> Any:
        return tuple(self.closed)


def sold(node: ClosingNode, *, weeks_ago: int = 7, **more: Any) -> ChannelOrder:
    """An open channel, sold for six weeks, so long ago."""
    at = timezone.now() - timedelta(weeks=weeks_ago)
    given = {"lease_starts_at": at, "opened_at": at, "attempts__confirmed": True, **more}
    order = OrderFactory(open=True, invoice__state=InvoiceState.SETTLED, **given)
    outpoint = Outpoint.parse(order.openings.get().funding_outpoint)
    node.open.append(channel(outpoint, order))
    return queries.order_or_raise(order.pk)


def look(order: ChannelOrder, node: ClosingNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def journal(order: ChannelOrder) -> list[str]:
    return list(order.events.order_by("version").values_list("cause", flat=True))
