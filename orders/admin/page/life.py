"""An order's line of life: what it has come through, where it is, what is ahead. Reads what was loaded, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from orders import story
from orders.models import ChannelOrder, OrderEvent
from orders.states import OrderState
from orders.windows import usable_until

_S: Final = OrderState


class Stands(StrEnum):
    """How a step stands; the value is its class in the style sheet."""

    DONE = "done"
    HERE = "here"
    AHEAD = "ahead"
    OVER = "over"  # nothing follows
    FAILED = "failed"  # something has to follow, by itself or by a person


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `at`: when it came to be; of one that is ahead `until` says when it is too late, or is due."""

    label: str
    stands: Stands
    at: datetime | None = None
    until: datetime | None = None
    words: str = ""

    @property
    def is_here(self) -> bool:
        """The order is at it now."""
        return self.stands is Stands.HERE


@dataclass(frozen=True, slots=True)
class Life:
    """The steps, and what the order waits for since when."""

    steps: list[Step]
    waits: str
    since: datetime


#: The way that an order takes if all goes well.
_WAY: Final = (_S.CREATED, _S.PAID, _S.URI_SET, _S.OPENING, _S.OPEN)
_LABELS: Final[dict[OrderState, str]] = {_S.CREATED: "Quoted", _S.URI_SET: "Claimed"}
#: What an order comes to that leaves the way, in the order in which it may.
_ENDS: Final = (_S.EXPIRED, _S.GIVE_UP, _S.REJECTED, _S.CLOSING, _S.CLOSED, _S.REFUNDED)
_STANDS: Final = {_S.GIVE_UP: Stands.FAILED, _S.REJECTED: Stands.FAILED, _S.CLOSING: Stands.HERE}
#: Whoever is there has come through what stands before it, whatever is left of the journal.
_CAME_THROUGH: Final[dict[OrderState, int]] = {state: number for number, state in enumerate(_WAY)} | {
    _S.CLOSING: 5,
    _S.CLOSED: 5,
}


def of(order: ChannelOrder, moves: Sequence[OrderEvent], now: datetime) -> Life:
    """The line of life. `moves`: the journal's rows that led from one state to another, the oldest first."""
    came = {OrderState(move.to_state): move for move in moves}
    state = OrderState(order.state)
    steps = [_step(order, each, came) for each in _WAY if _is_shown(order, each, came)]
    steps += [_ended(order, each, came) for each in _ENDS if _has_ended_so(state, each, came)]
    return Life([*steps, *_next(order)], story.waits_for(order, now), since(order, moves))


def since(order: ChannelOrder, moves: Sequence[OrderEvent]) -> datetime:
    """When it came to what it waits for now: its attempt's last step, else its own last move."""
    live = story.live_opening(order)
    if live is not None:
        return live.changed_at
    return moves[-1].at if moves else order.created_at


def _has_come(order: ChannelOrder, state: OrderState, came: dict[OrderState, OrderEvent]) -> bool:
    """By its times, or since it is further on: but a channel may close that was never usable."""
    here = _CAME_THROUGH.get(OrderState(order.state), -1)
    is_further = here > _CAME_THROUGH[state] and state != _S.OPEN
    return order.state == state or is_further or _at(order, state, came) is not None


def _is_shown(order: ChannelOrder, state: OrderState, came: dict[OrderState, OrderEvent]) -> bool:
    """What is ahead is shown of an order that is on its way; of one that has left it, what it came through."""
    return order.state in _WAY or _has_come(order, state, came)


def _step(order: ChannelOrder, state: OrderState, came: dict[OrderState, OrderEvent]) -> Step:
    step = Step(_LABELS.get(state, str(state.label)), Stands.AHEAD)
    number, here = _CAME_THROUGH[state], _CAME_THROUGH.get(OrderState(order.state))
    if order.state == state:
        step = replace(step, stands=Stands.HERE)
    elif _has_come(order, state, came) and (here is None or number < here):
        step = replace(step, stands=Stands.DONE)
    if step.stands is Stands.AHEAD:
        return replace(step, until=_until(order, state) if number == (here or 0) + 1 else None)
    return replace(step, at=_at(order, state, came), words=_words(order, state))


def _at(order: ChannelOrder, state: OrderState, came: dict[OrderState, OrderEvent]) -> datetime | None:
    """By the order's own row, else by its journal."""
    own = _OWN.get(state)
    kept = own(order) if own else None
    return kept or (came[state].at if state in came else None)


_Time = Callable[[ChannelOrder], datetime | None]

_OWN: Final[dict[OrderState, _Time]] = {
    _S.CREATED: lambda order: order.created_at,
    _S.PAID: lambda order: order.paid_at,
    _S.URI_SET: lambda order: order.claimed_at,
    _S.OPEN: lambda order: order.opened_at,
    _S.CLOSED: lambda order: order.closed_at,
}
#: By when an order that is one step before has to be there.
_UNTIL: Final[dict[OrderState, _Time]] = {
    _S.PAID: lambda order: order.expires_at,
    _S.URI_SET: lambda order: usable_until(order, order.claim_expires_at),
    _S.OPENING: lambda order: usable_until(order, order.open_deadline_at),
}


def _until(order: ChannelOrder, state: OrderState) -> datetime | None:
    latest = _UNTIL.get(state)
    return latest(order) if latest else None


def _words(order: ChannelOrder, state: OrderState) -> str:
    told = _WORDS.get(state)
    return told(order) if told else ""


def _attempts(order: ChannelOrder) -> str:
    count = len(order.openings.all())
    return f"attempt {count}" if count > 1 else ""


_WORDS: Final[dict[OrderState, Callable[[ChannelOrder], str]]] = {
    _S.CREATED: lambda order: story.sat(order.order_total_sat),
    _S.PAID: lambda order: (
        f"{'by' if order.counted_payment == 'lightning' else ''} "
        f"{order.get_counted_payment_display()}{', late' if order.paid_late else ''}".strip()
    ),
    _S.URI_SET: lambda order: f"{order.node_pubkey[:8]}…" if order.node_pubkey else "",
    _S.OPENING: _attempts,
    _S.OPEN: lambda order: story.sat(order.capacity_sat),
}


def _has_ended_so(state: OrderState, end: OrderState, came: dict[OrderState, OrderEvent]) -> bool:
    """It is there, or came through it to where it is: one that is on its way again has left its old ends behind."""
    return state == end or (state in _ENDS and end in came and _ENDS.index(end) < _ENDS.index(state))


def _ended(order: ChannelOrder, state: OrderState, came: dict[OrderState, OrderEvent]) -> Step:
    reason = order.give_up_reason if state == _S.GIVE_UP else ""
    stands = _STANDS.get(state, Stands.OVER) if order.state == state else Stands.DONE
    return Step(str(state.label), stands, at=_at(order, state, came), words=reason)


def _next(order: ChannelOrder) -> list[Step]:
    """What comes by itself to an order that has no step of the way ahead."""
    if order.state == _S.OPEN and order.lease_ends_at is not None:
        return [Step("Lease ends", Stands.AHEAD, until=order.lease_ends_at)]
    if order.state == _S.GIVE_UP:
        return [Step("Goes back", Stands.AHEAD, until=usable_until(order, order.give_up_until))]
    return []
