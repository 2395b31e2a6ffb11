"""Channels whose lease is over are closed where their service says so: with the peer, and never too many in a day."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from orders import leases, locks, queries
from orders.actors import Authority, Kind, open_to
from orders.errors import OrderError
from orders.locks import Lock
from orders.models import ChannelClosing, ChannelOrder, SwitchName
from orders.models.service import AfterLease
from orders.operations import closing
from orders.states import LIVE_CLOSINGS, ClosingState

log = logging.getLogger(__name__)

REASON: Final = "Its lease is over."
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Expired:
    """A channel whose lease is over. `why_not`: why it is not closed now; "" where it is, or would be."""

    order: ChannelOrder
    why_not: str


@open_to(Kind.COMMAND, Kind.SERVER)
def close_expired(*, actor: Authority, only_look: bool = False) -> list[Expired]:
    """Each channel whose lease is over is to be closed, or it is said why not; `only_look`: as if.

    What staff have paused and what is too much for a day is told, and left; a person is told what services leave open.
    Repeat: safe; beside itself nothing is done.
    """
    with locks.only_one(Lock.CLOSINGS) as obtained:
        return [*_each(actor, only_look=only_look or not obtained)]


def _each(actor: Authority, *, only_look: bool) -> Iterator[Expired]:
    now = timezone.now()
    room = settings.MOST_CLOSES_A_DAY - wanted_since(now - _DAY)
    orders = expired(now)
    if actor.kind is Kind.SERVER:  # nobody reads of what stays open
        orders = orders.filter(service__after_lease=AfterLease.CLOSE)
    for order in orders.iterator(chunk_size=500):
        why_not = _why_not(order, room)  # asked anew for each: who pauses stops the rest
        if not why_not:
            room -= 1
            why_not = "" if only_look else _close(order, actor)
        yield Expired(order, why_not)


def _why_not(order: ChannelOrder, room: int) -> str:
    if order.service.after_lease != AfterLease.CLOSE:
        return "Its service leaves it open."
    if order.is_to_be_closed:  # type: ignore[attr-defined]  # annotated by `expired`
        return "It is to be closed already."
    paused = queries.paused(SwitchName.CLOSINGS)
    if paused is not None:
        return f"Closings are paused: {paused.reason}"
    return "" if room > 0 else f"{settings.MOST_CLOSES_A_DAY} are closed in a day at most."


def _close(order: ChannelOrder, actor: Authority) -> str:
    with suppress(OrderError):
        closing.close(order.pk, reason=REASON, actor=actor)
        return ""
    return "Somebody was at it meanwhile."


def expired(now: datetime) -> QuerySet[ChannelOrder]:
    """Open channels whose lease is over, those that are so for longest first."""
    seen = queries.snapshot()
    if seen is None:
        return ChannelOrder.objects.none()
    live = ChannelClosing.objects.filter(order=OuterRef("pk"), state__in=LIVE_CLOSINGS)
    orders = ChannelOrder.objects.filter(leases.ended(height=seen.block_height, now=now))
    orders = orders.select_related("service").annotate(is_to_be_closed=Exists(live))
    return orders.order_by("lease_ends_at", "pk")


def wanted_since(at: datetime) -> int:
    """How many closes were wanted since then, by anybody, and not taken back."""
    return ChannelClosing.objects.filter(created_at__gte=at).exclude(state=ClosingState.WITHDRAWN).count()
