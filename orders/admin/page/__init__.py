"""What an order's page tells at a glance: its line of life, whose money is where, its channel as the node sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, Q

from orders.admin import listing
from orders.admin.page import channel, life, purse
from orders.admin.shown import outpoint, row_link
from orders.causes import Cause
from orders.models import ChannelOrder, OrderEvent


def glance(order: ChannelOrder, now: datetime) -> dict[str, Any]:
    """What the template shows of an order that was loaded with its details; the node is asked once, not for long."""
    told = events(order)
    moves = [event for event in told if event.from_state != event.to_state]
    standing = channel.of(order, now)
    return {
        "life": life.of(order, moves, now),
        "purse": purse.of(order),
        "channel": standing,
        "funding": outpoint(standing.opening.funding_outpoint) if standing else "",
        "bans": [row_link(ban, ban) for ban in listing.standing(order)],
        "notes": [event for event in told if event.cause == Cause.NOTED],
        "now": now,
    }


def events(order: ChannelOrder) -> list[OrderEvent]:
    """The rows of the journal that are moves, and those that are notes, the oldest first."""
    wanted = ~Q(from_state=F("to_state")) | Q(cause=Cause.NOTED)
    return list(OrderEvent.objects.filter(wanted, order=order).order_by("version"))
