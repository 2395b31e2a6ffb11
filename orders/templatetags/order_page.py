"""How an order's page writes amounts, times and names."""

from __future__ import annotations

from datetime import datetime

from django import template

from orders import story
from orders.ids import shortened

register = template.Library()

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@register.filter
def apart(amount: int) -> str:
    """Its thousands apart."""
    return f"{amount:,}"


@register.filter
def exactly(at: datetime | None) -> str:
    """To the second."""
    return story.when(at)


@register.filter
def lasting(seconds: float) -> str:
    """`3 days`, `5 hours` or `12 minutes`."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= 2 * unit or (seconds >= unit and unit != _DAY):
            count = int(seconds // unit)
            return f"{count:,} {name}{'' if count == 1 else 's'}"
    return f"{int(seconds)} seconds"


@register.filter
def brief(text: str) -> str:
    """With no order's whole id: it is the right to claim."""
    return shortened(text)
