"""Lives of zero-conf channels: their buyer receives as soon as there is one, and what he has received stays his."""

from __future__ import annotations

from typing import Any, Final

from orders.models import ChannelOpening, ChannelOrder
from orders.states import OpeningState
from simulator.channels import OPEN, Channel
from simulator.refused import Refused
from simulator.world import World
from tests.chaos.lives import Life, Sale

#: What somebody sends to the buyer at once.
RECEIVED_SAT: Final = 10_000
_BUYER: Final = "alice"


def _at_once(sale: Sale, **node: Any) -> dict[str, Any]:
    """A quote for a channel of no confirmations, to a node that takes such."""
    sale.network.customers[_BUYER].change(accepts_zero_conf=True, **node)
    quote = sale.buy(_BUYER)
    ChannelOrder.objects.filter(pk=sale.order_id).update(required_channel_confirmations=0)
    return quote


def usable_at_once(sale: Sale) -> None:
    """Paid by Lightning; it is received over the channel before anybody has published its funding, where that is so."""
    sale.pay(_at_once(sale))
    sale.until(lambda: receives(sale), "the buyer has received")
    sale.delivered()


def begun_anew_at_once(sale: Sale) -> None:
    """The first attempt falls silent after it was committed: the peer has seen the funding, and signs nothing."""
    sale.pay(_at_once(sale, withholds_signature=True))
    sale.until(lambda: "opening_cancelling" in sale.journal(), "cancelled")
    sale.network.customers[_BUYER].change(withholds_signature=False)
    sale.until(lambda: receives(sale), "the buyer has received")
    sale.delivered()


AT_ONCE: dict[str, Life] = {life.__name__: life for life in (usable_at_once, begun_anew_at_once)}


def receives(sale: Sale) -> bool:
    """Somebody has sent him something over the order's channel, the first time that there was one."""
    points = sale.network.lsp.look(lambda world: [_text(each) for each in _channels(world, sale.order_id)])
    others = sale.network.lsp.look(lambda world: [_text(each) for each in world.channels.alive() if not each.memo])
    if not points:
        return False
    try:
        sale.control.forward(others[0], points[0], out_msat=RECEIVED_SAT * 1000, fee_msat=1000)
    except Refused:
        return False  # it is not there any more
    return True


def check_received(world: World, order: ChannelOrder) -> None:
    """The channel that the order ends with is the one that he has received over, and no other was ever usable."""
    channels = [each for each in world.channels.by_point.values() if each.memo == str(order.pk) and each.alias]
    points = [_text(each) for each in channels]
    assert len(channels) == 1, f"a usable channel was abandoned, with all that was received over it: {points}"
    assert channels[0].remote_sat == order.client_balance_sat + RECEIVED_SAT, "what was received is not there"
    delivered = ChannelOpening.objects.get(order=order, state=OpeningState.CONFIRMED)
    assert delivered.zero_conf and delivered.funding_outpoint == points[0], (
        f"{delivered.funding_outpoint}, not {points}"
    )


def _channels(world: World, memo: str) -> list[Channel]:
    return [each for each in world.channels.alive() if each.memo == memo and each.stage == OPEN]


def _text(channel: Channel) -> str:
    return f"{channel.point[0]}:{channel.point[1]}"
