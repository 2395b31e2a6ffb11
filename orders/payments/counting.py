"""A payment counts, or the order ends unpaid."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders import money, payments
from orders.actors import LSP, Authority
from orders.causes import COINS_PROMISED_ELSEWHERE, Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.payments import judging
from orders.payments.surprises import flag_surprises
from orders.states import At, DepositState, InvoiceState, OrderState
from orders.transitions import locked, move


def pay(order: ChannelOrder, rail: Rail, *, cause: Cause, actor: Authority) -> None:
    """The order is PAID by `rail`, which counts from now on; claimed too, where the buyer named the node.

    What may still come on another rail is recorded to go back, so that nobody pays twice.
    The caller holds the order's row.
    """
    now = timezone.now()
    order.counted_payment, order.paid_at = rail, now
    order.claim_expires_at = now + payments.RAILS[rail].claim_window()
    move(order, OrderState.PAID, cause=cause, actor=actor, rail=str(rail))
    if order.node_pubkey:
        order.claimed_at = now
        order.open_deadline_at = now + timedelta(seconds=settings.OPEN_WINDOW_SECONDS)
        move(order, OrderState.URI_SET, cause=Cause.NODE_NAMED_AT_PURCHASE, actor=actor, node=order.node_pubkey)
    flag_surprises(order)
    for other, its in payments.RAILS.items():
        if other is not rail:
            its.give_back(order, cause=Cause.OTHER_RAIL_PAID, actor=LSP)


def intend_return(order_id: UUID, *, cause: Cause) -> bool:
    """It is recorded that what can go back by itself goes back; False where nothing does, or may.

    Money: still held. After this commit nothing but a return can follow, and no attempt to open can begin.
    Refused while an attempt is live, because its channel may yet come to be.
    """
    with locked(order_id) as order:
        return give_back(order, cause=cause, actor=LSP)


def give_back(order: ChannelOrder, *, cause: Cause, actor: Authority) -> bool:
    """As `intend_return`, for who holds the order's row already."""
    if cause is Cause.GAVE_WAY and not order.give_up_reason:
        order.give_up_reason = COINS_PROMISED_ELSEWHERE
    going_back = [rail.give_back(order, cause=cause, actor=actor) for rail in payments.RAILS.values()]
    return any(going_back)


def covered(order: ChannelOrder) -> bool:
    """Deposits that would pay the order are there, deep enough or not; not where they came too late for its price."""
    return money.of(order, At.SEEN).is_covered and not judging.is_outpriced(order, timezone.now())


def may_yet_be_paid(order: ChannelOrder, now: datetime) -> bool:
    """Deposits that came in time cover the order past its end: in a block, or unmined for so long only."""
    if not covered(order):
        return False
    patience = timedelta(seconds=settings.DEPOSIT_PATIENCE_SECONDS)
    in_time = judging.in_time(order)
    if now >= order.expires_at + patience:
        in_time = [row for row in in_time if row.state == DepositState.CONFIRMED]
    came_sat = sum(row.received_sat(At.SEEN, height=0, depth=0) for row in in_time)
    return came_sat >= order.order_total_sat


def expire(order_id: UUID) -> None:
    """The unpaid order is EXPIRED; its invoice is dead at the node already.

    Money: none is held. A covering deposit that was seen in time keeps the order, so the caller's look decides and
    this tests again under the lock. Repeat: safe.
    """
    now = timezone.now()
    with locked(order_id) as order:
        invoice = order.invoice
        dead = invoice is None or invoice.state == InvoiceState.CANCELLED
        if order.state == OrderState.CREATED and dead and order.expires_at <= now and not may_yet_be_paid(order, now):
            end_unpaid(order, cause=Cause.OUTPRICED if judging.is_outpriced(order, now) else Cause.EXPIRED, actor=LSP)


def end_unpaid(order: ChannelOrder, *, cause: Cause, actor: Authority) -> None:
    """The order is EXPIRED; what has arrived on chain all the same goes back once it is final, or buys it late.

    The caller holds the order's row.
    """
    move(order, OrderState.EXPIRED, cause=cause, actor=actor)
    received_sat = money.of(order, At.SEEN).received_sat
    if received_sat:
        words = f"Ended unpaid with {received_sat} sat on chain: return them, or revive the order."
        raise_flag(order, FlagKind.ENDED_WITH_DEPOSITS, words, actor=actor)


def unpay(order: ChannelOrder, *, cause: Cause, **facts: Any) -> None:
    """The order was not paid after all, and is EXPIRED; its coins are free. What pays it from now on is late.

    The caller holds the order's row, and knows that nothing was delivered for it, and no attempt is live.
    """
    order.counted_payment, order.paid_at, order.claim_expires_at = "", None, None
    order.open_deadline_at, order.give_up_reason, order.give_up_until = None, "", None
    move(order, OrderState.EXPIRED, cause=cause, **facts)
