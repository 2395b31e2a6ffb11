"""What we have promised to ask at most for forwarding is kept: what is more is put back, whoever has asked it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.utils import timezone

from lightning import rights
from lightning.errors import LightningError, NodeUnavailable
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import RoutingFee
from orders import flags, queries
from orders.actors import LSP
from orders.causes import Cause, FlagKind
from orders.flags import Found, raise_flag
from orders.models import ChannelOpening, ChannelOrder, Flag, OrderEvent
from orders.states import OpeningState, OrderState
from orders.transitions import locked, note

log = logging.getLogger(__name__)

#: So many in one look: each costs two calls, and the next look is soon.
MOST_AT_ONCE: Final = 50
_DAY: Final = timedelta(days=1)
#: What is raised so often in a day is raised by a program that knows nothing of us.
_AGAIN_AND_AGAIN: Final = 3

Promise = tuple[UUID, int, int]


def keep(node: LndNode) -> int:
    """No open channel of ours asks for more than was promised; returns how many were put back.

    One call tells of all channels, and none is made where nothing is promised.
    Repeat: safe. Raises: NodeUnavailable.
    """
    promises = promised()
    if not promises or rights.lacking(Feature.CEILINGS, node):
        return 0
    above: list[tuple[UUID, RoutingFee, RoutingFee]] = []
    flagged = _flagged()
    for asked in node.routing_fees():
        if (promise := promises.get(str(asked.outpoint))) is None:
            continue
        order_id, base_msat, ppm = promise
        if asked.base_msat > base_msat or asked.ppm > ppm:
            most = RoutingFee(asked.outpoint, min(asked.base_msat, base_msat), min(asked.ppm, ppm))
            above.append((order_id, asked, most))
        elif order_id in flagged:
            _found_kept(order_id)
    above.sort(key=lambda each: each[0] in flagged)  # what the node refuses keeps no other from its turn
    return _put_all_back(above[:MOST_AT_ONCE], node)


def _put_all_back(above: list[tuple[UUID, RoutingFee, RoutingFee]], node: LndNode) -> int:
    ours = queries.our_node()
    if ours is None:
        return 0
    for order_id, asked, most in above:
        _put_back(order_id, asked, most, node, ours.pubkey)
    return len(above)


def _flagged() -> set[UUID]:
    rows = Flag.objects.filter(kind=FlagKind.ROUTING_FEE_HIGH, lowered_at=None)
    return set(rows.values_list("order_id", flat=True))


def promised() -> dict[str, Promise]:
    """The order of each open channel with a promise, and what was promised, by its funding outpoint."""
    rows = ChannelOpening.objects.filter(
        order__state=OrderState.OPEN,
        order__most_routing_base_msat__isnull=False,
        state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED],
    ).values_list(
        "transaction__txid", "output_index", "order_id", "order__most_routing_base_msat", "order__most_routing_ppm"
    )
    return {f"{txid}:{index}": (order_id, base or 0, ppm or 0) for txid, index, order_id, base, ppm in rows}


def _put_back(order_id: UUID, asked: RoutingFee, most: RoutingFee, node: LndNode, pubkey: str) -> None:
    """Recorded before it is done: whoever dies in between does it again."""
    _record(order_id, asked, most)
    try:
        node.set_routing_fee(most, cltv_blocks=node.cltv_blocks(asked.outpoint, pubkey=pubkey))
    except NodeUnavailable:
        raise
    except LightningError as error:
        log.warning("order=%s its routing fee is not put back: %s: %s", order_id, type(error).__name__, error)
        words = "More is asked for forwarding over its channel than was promised, and the node does not put it back."
        flags.flag(order_id, FlagKind.ROUTING_FEE_HIGH, words)


def _record(order_id: UUID, asked: RoutingFee, most: RoutingFee) -> None:
    with locked(order_id) as order:
        note(
            order, Cause.ROUTING_FEE_PUT_BACK, actor=LSP, asked_base_msat=asked.base_msat, asked_ppm=asked.ppm,
            base_msat=most.base_msat, ppm=most.ppm,
        )  # fmt: skip
        if _put_back_lately(order_id) >= _AGAIN_AND_AGAIN:
            words = "Somebody asks for more over its channel than was promised, again and again: another program?"
            raise_flag(order, FlagKind.ROUTING_FEE_HIGH, words, actor=LSP)


def _put_back_lately(order_id: UUID) -> int:
    since = timezone.now() - _DAY
    return OrderEvent.objects.filter(order=order_id, cause=Cause.ROUTING_FEE_PUT_BACK, at__gte=since).count()


def _found_kept(order_id: UUID) -> None:
    """What was flagged is over, once nothing had to be put back for a day."""
    if not _put_back_lately(order_id):
        flags.found(ChannelOrder.objects.get(pk=order_id), Found.FEE_KEPT)
