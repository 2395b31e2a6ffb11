"""A life in which we close what was sold, once its lease is over; while who does it is killed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from orders import actors
from orders.models import ChannelClosing, ChannelOrder
from orders.operations import closing
from orders.states import ClosingState, OrderState
from simulator.scripts import Point
from simulator.world import World
from tests.chaos.lives import NeverEnded, Sale
from tests.chaos.mortal import STREAMS, WORKER
from tests.chaos.runs import Run
from tests.property import truths

ADA = actors.staff("ada")
TOGETHER, FORCED = "together", "forced"
#: To how many boundaries a process comes in this life: a worker that does all, and a streams process.
BOUNDARIES = {WORKER: 60, STREAMS: 60}


def closed_down(sale: Sale, kind: str) -> None:
    """It is sold and delivered by who does not die yet; then its lease is over, and a person wants it closed."""
    sale.pay(sale.buy("buyer"))
    sale.delivered()
    order = ChannelOrder.objects.filter(pk=sale.order_id)
    order.update(lease_ends_height=1, lease_ends_at=timezone.now() - timedelta(days=1))
    (closing.force if kind == FORCED else closing.close)(order.get().pk, reason="Its lease is over.", actor=ADA)
    sale.until(lambda: sale.state() == OrderState.CLOSING, "closing")
    sale.until(lambda: sale.state() == OrderState.CLOSED, "closed", mining=True)


def spenders(world: World, point: Point) -> list[str]:
    """Every transaction that ever was to spend the funding."""
    return [txid for txid, tx in world.chain.txs.items() if point in tx.inputs]


@dataclass
class ClosedDown(Run):
    """A run of this life."""

    kind: str = TOGETHER

    def live(self) -> None:
        """The channel is closed once, as was wanted, and everything is as it must be."""
        print(self.plan)
        try:
            closed_down(self.sale, self.kind)
            self.processes.kill()
            self.check_closed_down()
        except AssertionError as false:
            kind = NeverEnded if isinstance(false, NeverEnded) else AssertionError
            raise kind(f"{false}\n{self.plan}\n{self.sale.story()}\n{self.processes.log()}") from None

    def check_closed_down(self) -> None:
        """By our rows, and by what the simulated chain has."""
        truths.check_always(self.network.lsp.look(truths.facts))
        order = ChannelOrder.objects.get()
        row = ChannelClosing.objects.get()
        outpoint = order.openings.get(state="confirmed").funding_outpoint
        txid, _, index = outpoint.partition(":")
        found = self.network.lsp.look(lambda world: spenders(world, (txid, int(index))))
        assert found == [row.txid] == [order.closing_txid], f"{found} spend the funding, our row says {row.txid}"
        assert (row.state, row.kind) == (ClosingState.DONE, self.kind), f"the close is {row.state}"
        facts = order.events.get(cause="channel_closed").facts
        assert facts["by_us"] is True, f"closed by somebody else: {facts}"
        assert not order.refunds.exists() and not order.standing, "a close after the lease is a case"
