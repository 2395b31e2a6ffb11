"""Our node is told once that a part goes on, and once it has done so nothing more is said of it.

It asks again, after a start or when the payer's node connects anew, about what is on its way (LND before 0.21.4, and
none can be sure of a later one), and keeps the question when the part has come to its end meanwhile: what is told to go
on then does so once more, and nobody pays for it but we. What comes back may be failed any number of times, and what is
let go where no channel has its number as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from lightning.parts import Circuit
from lightning.types import Channel
from orders.models import JitPart, PartDecision
from orders.payments.lightning.passing import moves


def first(circuit: Circuit) -> datetime | None:
    """Our node may be told that the part goes on: when that was written down; None: it was told before.

    In a transaction of its own, which is done before our node is told.
    """
    return first_of([circuit]).get(circuit)


def first_of(circuits: Collection[Circuit]) -> dict[Circuit, datetime]:
    """As `first`, of those of these parts that were not told before, all in one transaction."""
    if not circuits:
        return {}
    with transaction.atomic(durable=True):
        rows = list(_going(circuits).filter(told_at=None).order_by("pk").select_for_update())
        now = timezone.now()
        JitPart.objects.filter(pk__in=[row.pk for row in rows]).update(told_at=now)
    return {row.circuit: now for row in rows}


def again(circuit: Circuit, channels: Sequence[Channel]) -> bool:
    """Our node may be told once more: we died when it was told, or it did, and it has done nothing.

    The part is where it came in, and nothing has moved in any channel with the buyer's node since it was decided.
    `channels`: all, as our node has them some seconds after it has asked; what it had just done shows by then.
    """
    row = _going([circuit]).filter(is_done=False).select_related("purchase").first()
    if row is None or not (_is_held(circuit, channels) and _is_unmoved(row, channels)):
        return False
    return _told_anew(circuit)


def unsaid(circuit: Circuit, told_at: datetime) -> None:
    """It was not told after all, by who was the first, and nobody since: our node asks again. Repeat: safe."""
    _going([circuit]).filter(told_at=told_at).update(told_at=None)


def done(circuits: Collection[Circuit]) -> None:
    """Our node has had the time to do what it was told. Repeat: safe."""
    _going(circuits).filter(told_at__isnull=False).update(is_done=True)


def _told_anew(circuit: Circuit) -> bool:
    """Unless it is done by now. Who was the first says no more that it was not told."""
    with transaction.atomic(durable=True):
        return bool(_going([circuit]).filter(is_done=False).update(told_at=timezone.now()))


def _is_held(circuit: Circuit, channels: Iterable[Channel]) -> bool:
    into = (each for each in channels if each.known_as == circuit.channel)
    return any(htlc.incoming and htlc.index == circuit.htlc for each in into for htlc in each.htlcs)


def _is_unmoved(row: JitPart, channels: Iterable[Channel]) -> bool:
    """Those that there were are there, as they were; and in others nothing ever was."""
    before: Mapping[str, int] = row.moves
    now = moves(each for each in channels if each.peer_pubkey == row.purchase.node_pubkey)
    return before.keys() <= now.keys() and all(before.get(name, 0) == count for name, count in now.items())


def _going(circuits: Iterable[Circuit]) -> QuerySet[JitPart]:
    wanted = Q(pk__in=[])
    for each in circuits:
        wanted |= Q(chan_id=str(each.channel), htlc_id=each.htlc)
    return JitPart.objects.filter(wanted, decision=PartDecision.RESUME)
