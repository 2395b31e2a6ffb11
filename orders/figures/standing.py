"""How the orders stand now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count

from orders.causes import FlagKind
from orders.figures import kinds
from orders.figures.asking import age_seconds, rows, words
from orders.figures.tally import summed
from orders.models import Flag
from orders.states import OrderState

_S = OrderState
#: Something is to follow by itself, so that how long an order has been there says something.
MOVING: Final = (_S.CREATED, _S.PAID, _S.URI_SET, _S.OPENING, _S.GIVE_UP, _S.CLOSING)


@dataclass(frozen=True, slots=True)
class StateSum:
    """The orders that are in a state now."""

    state: OrderState
    orders: int
    capacity_sat: int


@dataclass(frozen=True, slots=True)
class Oldest:
    """The order that has been in a state for the longest time."""

    state: OrderState
    since: datetime
    age_seconds: int


@dataclass(frozen=True, slots=True)
class FlagSum:
    """The flags of a kind that stand."""

    kind: FlagKind
    flags: int


#: A quote has been one since it was made; of all others the journal says since when.
_OLDEST: Final = """
SELECT o.state, min(coalesce(entered.at, o.created_at))
FROM orders_channelorder o
LEFT JOIN LATERAL (
    SELECT e.at FROM orders_orderevent e
    WHERE e.order_id = o.id AND e.from_state <> e.to_state AND o.state <> 'created'
    ORDER BY e.version DESC LIMIT 1
) AS entered ON true
WHERE o.state = ANY(%(states)s)
GROUP BY o.state
"""


def by_state() -> list[StateSum]:
    """Every state with its orders, and the size of their channels."""
    found = {state: sums for _, (state,), sums in summed(kinds.STATES)}
    return [StateSum(state, *found.get(state, (0, 0))) for state in OrderState]


def oldest(now: datetime) -> list[Oldest]:
    """Of each state that is left by itself, the order that is there for longest; a state without orders is left out."""
    found = dict(rows(_OLDEST, states=words(MOVING)))
    return [Oldest(s, found[s], age_seconds(found[s], now)) for s in MOVING if s in found]


def flags() -> list[FlagSum]:
    """Every kind of flag that stands, with how many do; one that is no kind any more counts as another's."""
    standing = Flag.objects.filter(lowered_at=None).order_by().values_list("kind").annotate(Count("pk"))
    counted: dict[FlagKind, int] = {}
    for kind, number in standing:
        known = FlagKind(kind) if kind in FlagKind.values else FlagKind.OTHER
        counted[known] = counted.get(known, 0) + number
    return [FlagSum(kind, counted[kind]) for kind in FlagKind if kind in counted]
