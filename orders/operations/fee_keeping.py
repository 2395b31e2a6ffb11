"""What we have promised to ask at most for forwarding is kept: what is more is put back, whoever has asked it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
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
#: What the node refuses once it does at the next look, as a rule: a person is told of what it refuses so often, and for
#: so long.
_REFUSED_OFTEN: Final = 3
_REFUSED_FOR: Final = timedelta(minutes=30)
#: Looks come every ten minutes. A refusal that is so old belongs to no row of them.
_LATELY: Final = timedelta(hours=1)
_PUT_BACK: Final = Cause.ROUTING_FEE_PUT_BACK
_REFUSED: Final = Cause.ROUTING_FEE_REFUSED

Promise = tuple[UUID, int, int]
#: What was tried, or refused, and when.
Word = tuple[str, datetime]


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
    """Recorded before it is done: whoever dies in between does it again. What was refused is on record already."""
    was_refused = bool(refusals(_said(order_id), timezone.now()))
    if not was_refused:
        _record(order_id, asked, most)
    try:
        node.set_routing_fee(most, cltv_blocks=node.cltv_blocks(asked.outpoint, pubkey=pubkey))
    except NodeUnavailable:
        raise
    except LightningError as error:
        log.warning("order=%s its routing fee is not put back: %s: %s", order_id, type(error).__name__, error)
        _refused(order_id, str(error))
        return
    if was_refused:
        _record(order_id, asked, most)
    _tell_if_raised_again_and_again(order_id)


def _record(order_id: UUID, asked: RoutingFee, most: RoutingFee) -> None:
    with locked(order_id) as order:
        note(
            order, _PUT_BACK, actor=LSP, asked_base_msat=asked.base_msat, asked_ppm=asked.ppm,
            base_msat=most.base_msat, ppm=most.ppm,
        )  # fmt: skip


def _refused(order_id: UUID, detail: str) -> None:
    """It is on record; a person is told once it is no matter of a moment."""
    with locked(order_id) as order:
        note(order, _REFUSED, actor=LSP, detail=detail[:300])
        now = timezone.now()
        row = refusals(_said(order_id), now)
        if len(row) >= _REFUSED_OFTEN and row[0] <= now - _REFUSED_FOR:
            words = "More is asked for forwarding than was promised, and the node does not put it back."
            raise_flag(order, FlagKind.ROUTING_FEE_HIGH, words, actor=LSP)


def _tell_if_raised_again_and_again(order_id: UUID) -> None:
    if times_put_back(_said(order_id)) >= _AGAIN_AND_AGAIN:
        words = "Somebody asks for more over its channel than was promised, again and again: another program?"
        flags.flag(order_id, FlagKind.ROUTING_FEE_HIGH, words)


def _said(order_id: UUID) -> list[Word]:
    """Of the last day, in order."""
    rows = OrderEvent.objects.filter(order=order_id, cause__in=[_PUT_BACK, _REFUSED], at__gte=timezone.now() - _DAY)
    return list(rows.order_by("version").values_list("cause", "at"))


def refusals(said: Iterable[Word], now: datetime) -> list[datetime]:
    """When the node has refused, each time since it last did as it was told; none where that is long ago."""
    row = [at for _, at in takewhile(lambda word: word[0] == _REFUSED, reversed(list(said)))]
    return row[::-1] if row and row[0] > now - _LATELY else []


def times_put_back(said: Iterable[Word]) -> int:
    """How often it was put back: what was tried, and not refused then."""
    causes = [cause for cause, _ in said]
    return sum(this == _PUT_BACK and then != _REFUSED for this, then in pairwise([*causes, ""]))


def _found_kept(order_id: UUID) -> None:
    """What was flagged is over: the node does it, and nobody has raised it again for a day."""
    if times_put_back(_said(order_id)) <= 1:
        flags.found(ChannelOrder.objects.get(pk=order_id), Found.FEE_KEPT)
