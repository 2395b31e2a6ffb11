"""A history of a shop, made by chance of a seed: orders that ended in every way, with what their journal says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.utils import timezone

from orders.causes import Cause, FlagKind
from orders.models import ChannelOrder, Coupon, OrderEvent
from orders.states import OrderState
from tests.factories import FlagFactory, OpeningFactory, OrderFactory
from tests.refunding import RefundFactory

_S, _C = OrderState, Cause
QUOTED = (_S.CREATED, _C.QUOTED)
PAID = (_S.PAID, _C.LIGHTNING_PAYMENT_HELD)
CLAIMED = (_S.URI_SET, _C.CLAIMED)
OPENING = (_S.OPENING, _C.FUNDING_SIGNED)
OPEN = (_S.OPEN, _C.CHANNEL_USABLE)
MINED = (_S.REFUNDED, _C.REFUND_MINED)
#: Reasons that buyers know, one that nobody does, and none.
WHY = ("PEER_NOT_REACHABLE", "CHANNEL_REJECTED", "INSUFFICIENT_FUNDS", "a word of an older version", "")


@dataclass(frozen=True)
class Life:
    """The moves of an order, and whether it has a reason of its own."""

    moves: Sequence[tuple[OrderState, Cause]]
    is_given_up: bool = False
    refund_cause: str = ""


LIVES = (
    Life([QUOTED]),
    Life([QUOTED, (_S.EXPIRED, _C.EXPIRED)]),
    Life([QUOTED, (_S.EXPIRED, _C.OUTPRICED)]),
    Life([QUOTED, (_S.EXPIRED, _C.GAVE_WAY)], is_given_up=True),
    Life([QUOTED, (_S.EXPIRED, _C.EXPIRED), (_S.PAID, _C.LATE_PAYMENT_TAKEN), CLAIMED, OPENING, OPEN]),
    Life([QUOTED, (_S.EXPIRED, _C.EXPIRED), MINED], refund_cause="expired"),
    Life([QUOTED, PAID]),
    Life([QUOTED, PAID, (_S.REFUNDED, _C.NEVER_CLAIMED)]),
    Life([QUOTED, PAID, MINED], refund_cause="never_claimed"),
    Life([QUOTED, PAID, (_S.REJECTED, _C.CANCELLED)]),
    Life([QUOTED, PAID, (_S.REJECTED, _C.CANCELLED), MINED], refund_cause="cancelled"),
    Life([QUOTED, PAID, CLAIMED]),
    Life([QUOTED, PAID, CLAIMED, (_S.PAID, _C.CLAIM_TAKEN_BACK)]),
    Life([QUOTED, PAID, CLAIMED, CLAIMED, (_S.GIVE_UP, _C.GAVE_UP)], is_given_up=True),
    Life([QUOTED, PAID, CLAIMED, (_S.GIVE_UP, _C.GAVE_UP), CLAIMED]),
    Life([QUOTED, PAID, CLAIMED, (_S.GIVE_UP, _C.GAVE_UP), (_S.REFUNDED, _C.GAVE_UP)], is_given_up=True),
    Life([QUOTED, PAID, CLAIMED, OPENING]),
    Life([QUOTED, PAID, CLAIMED, OPENING, OPEN]),
    Life([QUOTED, PAID, CLAIMED, OPENING, OPEN, (_S.CLOSING, _C.CHANNEL_CLOSING)]),
    Life([QUOTED, PAID, CLAIMED, OPENING, OPEN, (_S.CLOSED, _C.CHANNEL_CLOSED)]),
    Life([QUOTED, PAID, CLAIMED, OPENING, (_S.CLOSED, _C.CHANNEL_CLOSED)]),
)


def happen(seed: int, orders: int, *, days: int = 75) -> datetime:
    """So many orders have been; returns the moment at which that is seen."""
    chance, now = Random(seed), timezone.now().astimezone(UTC)
    events: list[OrderEvent] = []
    for number in range(orders):
        life = LIVES[number % len(LIVES)]
        made = now - timedelta(seconds=chance.randrange(days * 86_400) + 86_400 * 8)
        order, moments = _order(chance, life, made, number)
        events += _journal(order, life, moments)
        _attempts(chance, order, moments[-1])
        _besides(chance, order, life)
    OrderEvent.objects.bulk_create(events)
    return now


def _order(chance: Random, life: Life, made: datetime, number: int) -> tuple[ChannelOrder, list[datetime]]:
    moments = [made]
    for _ in life.moves[1:]:
        moments.append(moments[-1] + timedelta(microseconds=chance.randrange(1, 10 ** chance.randrange(6, 11))))
    at = {state: moment for (state, _), moment in zip(life.moves, moments, strict=True)}  # the last of each
    lsp_balance_sat = chance.randrange(100_000, 16_000_000)
    state = life.moves[-1][0]
    is_taken_back = life.moves[-1][1] is Cause.CLAIM_TAKEN_BACK
    states = [state for state, _ in life.moves]
    paid_at = moments[states.index(_S.PAID)] if _S.PAID in states else None
    fields: dict[str, Any] = {
        "created_at": made,
        "state": state,
        "lsp_balance_sat": lsp_balance_sat,
        "client_balance_sat": chance.choice([0, 50_000]),
        "counted_payment": "lightning" if paid_at or state == _S.REFUNDED else "",
        "paid_at": paid_at,
        "claimed_at": None if is_taken_back else at.get(_S.URI_SET),
        "node_pubkey": f"02{number:064x}" if _S.URI_SET in at and not is_taken_back else "",
        "opened_at": at.get(_S.OPEN),
        "closed_at": at.get(_S.CLOSED),
        "give_up_reason": chance.choice([*WHY[:-1], "COINS_PROMISED_ELSEWHERE"]) if life.is_given_up else "",
        "last_failure_reason": chance.choice(WHY) if _S.URI_SET in at else "",
        **_coupon(number),
    }
    return OrderFactory(**fields, invoice=False, deposits=False, attempts=False, flagged=False), moments


def _coupon(number: int) -> dict[str, Any]:
    """Every third order has one of three, and some of these have taken nothing off."""
    if number % 3:
        return {}
    code = f"PARTNER-{number % 9}"
    return {"coupon": Coupon.objects.get_or_create(code=code)[0], "discount_sat": number % 4 * 111}


def _journal(order: ChannelOrder, life: Life, moments: Sequence[datetime]) -> list[OrderEvent]:
    """With a row after it that moves nothing."""
    before, rows = "", []
    told = [(state, cause, at) for (state, cause), at in zip(life.moves, moments, strict=True)]
    told.append((life.moves[-1][0], Cause.NEEDS_STAFF, moments[-1] + timedelta(seconds=5)))
    for version, (state, cause, at) in enumerate(told, start=1):
        row = OrderEvent(order=order, version=version, at=at, actor="lsp", cause=cause, from_state=before)
        row.to_state = before = state
        rows.append(row)
    return rows


_LAST_ATTEMPT = {
    _S.OPENING: {},
    _S.OPEN: {"confirmed": True},
    _S.CLOSING: {"confirmed": True},
    _S.CLOSED: {"confirmed": True},
}


def _attempts(chance: Random, order: ChannelOrder, last: datetime) -> None:
    if not order.node_pubkey:
        return
    for number in range(chance.randrange(3)):
        at = last - timedelta(hours=3 - number)
        OpeningFactory(order=order, failed=True, failure_reason=chance.choice(WHY), created_at=at)
    if order.state in _LAST_ATTEMPT:
        OpeningFactory(order=order, created_at=last, **_LAST_ATTEMPT[OrderState(order.state)])


def _besides(chance: Random, order: ChannelOrder, life: Life) -> None:
    """Flags, and refunds in every state."""
    if chance.randrange(4) == 0:
        lowered = {"lowered_at": timezone.now(), "lowered_by": "lsp"} if chance.randrange(2) else {}
        FlagFactory(order=order, kind=chance.choice([*FlagKind, "an older kind"]), **lowered)
    amount_sat = chance.randrange(20_000, 500_000)
    if life.refund_cause:
        RefundFactory(order=order, published=True, state="done", cause=life.refund_cause, amount_sat=amount_sat)
    elif order.state in {_S.EXPIRED, _S.REJECTED, _S.GIVE_UP}:
        traits = chance.choice([{}, {"kept": True}, {"published": True}, {"published": True, "state": "signed"}])
        RefundFactory(order=order, amount_sat=amount_sat, ends_order=False, **traits)
