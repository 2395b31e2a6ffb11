"""Our node is told once that a part goes on, and once it has done so nothing more is said of it.

It asks again, after a start or when the payer's node connects anew, about what is on its way (LND before 0.21.4, and
none can be sure of a later one), and keeps the question when the part has come to its end meanwhile: what is told to go
on then does so once more, and nobody pays for it but we. What comes back may be failed any number of times, and what is
let go where no channel has its number as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from lightning.node import LndNode
from lightning.parts import Answer, Circuit
from lightning.types import Channel
from orders.models import JitPart, PartDecision
from orders.payments.lightning.passing import moves


def first(decided: Mapping[Circuit, Answer]) -> set[Circuit]:
    """Those of these parts of which our node may be told now what was decided: of one that goes on it is written down
    before, and it is not told again.
    """
    going = [circuit for circuit, said in decided.items() if said.goes_on]
    return set(decided).difference(_told_before(going) if going else ())


def _told_before(circuits: Collection[Circuit]) -> set[Circuit]:
    with transaction.atomic(durable=True):
        rows = list(_going(circuits).select_for_update())
        JitPart.objects.filter(pk__in=[row.pk for row in rows if row.told_at is None]).update(told_at=timezone.now())
    return {row.circuit for row in rows if row.told_at is not None}


def done(circuits: Collection[Circuit]) -> None:
    """Our node has had the time to do what it was told. Repeat: safe."""
    _going(circuits).filter(told_at__isnull=False).update(is_done=True)


def unsaid(circuit: Circuit) -> None:
    """Our node was not told after all: it asks again. Said by who was the first. Repeat: safe."""
    _going([circuit]).filter(is_done=False).update(told_at=None)


def once_more(circuit: Circuit, node: LndNode) -> bool:
    """It may be told once more that the part goes on: we died when it was told, or it did, and it has done nothing.

    The part is where it came in, and nothing has moved in any channel with the buyer's node since it was decided. To be
    asked some seconds after our node has asked: what it had just done shows by then.
    Raises: NodeUnavailable.
    """
    row = _going([circuit]).filter(is_done=False).select_related("purchase").first()
    if row is None:
        return False
    channels = node.channels()
    with_buyer = (each for each in channels if each.peer_pubkey == row.purchase.node_pubkey)
    return _is_held(circuit, channels) and row.moves == moves(with_buyer)


def _is_held(circuit: Circuit, channels: Iterable[Channel]) -> bool:
    into = (each for each in channels if each.known_as == circuit.channel)
    return any(htlc.incoming and htlc.index == circuit.htlc for each in into for htlc in each.htlcs)


def _going(circuits: Iterable[Circuit]) -> QuerySet[JitPart]:
    wanted = Q(pk__in=[])
    for each in circuits:
        wanted |= Q(chan_id=str(each.channel), htlc_id=each.htlc)
    return JitPart.objects.filter(wanted, decision=PartDecision.RESUME).order_by("pk")
