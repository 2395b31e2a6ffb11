"""The channels that were sold and stand now, and how long they are promised for yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Q

from orders.figures.attention import lease_ended, lease_ending
from orders.models import ChannelOrder, NodeSnapshot
from orders.states import OrderState

#: Found by an index on the state; what is over is not read.
_STANDING: Final = (OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING)


@dataclass(frozen=True, slots=True)
class Channels:
    """How many. Those whose lease ends within a week, or is over, are among the open ones."""

    opening: int
    open: int
    ending: int
    ended: int
    closing: int


def channels(now: datetime, seen: NodeSnapshot | None) -> Channels:
    """In one statement."""
    state = {each: Count("pk", filter=Q(state=each)) for each in _STANDING}
    found = ChannelOrder.objects.filter(state__in=_STANDING).aggregate(
        **{each.value: counted for each, counted in state.items()},
        ending=Count("pk", filter=lease_ending(now, seen)),
        ended=Count("pk", filter=lease_ended(now, seen)),
    )
    return Channels(**found)
