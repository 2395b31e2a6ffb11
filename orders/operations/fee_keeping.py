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
from orders.models import ChannelOpening, ChannelOrder, OrderEvent
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
    ours = queries.our_node()
    put_back = 0
    for asked in node.routing_fees():
        order_id, base_msat, ppm = promises.get(str(asked.outpoint), (None, 0, 0))
        if order_id is None:
            continue
        if asked.base_msat <= base_msat and asked.ppm <= ppm:
            _found_kept(order_id)
        elif ours is not None and put_back < MOST_AT_ONCE:
            most = RoutingFee(asked.outpoint, min(asked.base_msat, base_msat), min(asked.ppm, ppm))
            _put_back(order_id, asked, most, node, ours.pubkey)
            put_back += 1
    return put_back


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
    order = ChannelOrder.objects.filter(pk=order_id, standing_flags__gt=0).first()
    if order is not None and not _put_back_lately(order_id):
        flags.found(order, Found.FEE_KEPT)
