"""Money of an order that was paid, and has no channel for it, may go back on chain: a person decides."""

from __future__ import annotations

from django.utils import timezone

from orders.actors import LSP, Authority
from orders.causes import BY_DECISION, Cause
from orders.models import ChannelOrder, Refund
from orders.payments.onchain import due, refunding
from orders.states import RefundState
from orders.transitions import move_refund, note


def proposed(order: ChannelOrder) -> Refund | None:
    """What waits for a person's word; nobody is asked of orders of which nothing ever goes back."""
    refunds = order.refunds.all() if due.is_possible(order) else ()
    return next((refund for refund in refunds if refund.state == RefundState.PROPOSED), None)


def propose(order: ChannelOrder, amount_sat: int, *, cause: Cause, ends_order: bool = False) -> bool:
    """Whether so much is proposed to go back. The caller holds the order's row.

    Money: ours until a person grants it; nothing is sent before. Repeat: safe, one proposal of an order stands, and
    what was granted is not proposed once more.
    """
    decided = order.refunds.filter(cause__in=BY_DECISION).exclude(state=RefundState.WITHDRAWN)
    if amount_sat <= 0 or decided.exists():
        return False
    Refund.objects.create(
        order=order, state=RefundState.PROPOSED, amount_sat=amount_sat, ends_order=ends_order, cause=cause,
        created_at=timezone.now(),
    )  # fmt: skip
    note(order, Cause.REFUND_PROPOSED, amount_sat=amount_sat, why=cause)
    return True


def grant(order: ChannelOrder, *, actor: Authority) -> None:
    """What was proposed is the buyer's, and goes back as any refund does. The caller holds the order's row.

    Money: from here on it is kept out of what is sold.
    """
    refund = order.refunds.get(state=RefundState.PROPOSED)
    move_refund(order, refund, RefundState.DUE)
    note(order, Cause.REFUND_GRANTED, actor=actor, amount_sat=refund.amount_sat, why=refund.cause)
    if refund.amount_sat < due.LEAST_SAT:
        refunding.keep_one(order, refund, "It is less than sending it costs.", actor=LSP)
    else:
        refunding.require_address(order, refund.amount_sat)


def decline(order: ChannelOrder, why: str, *, actor: Authority) -> None:
    """What was proposed does not go back, for this reason. The caller holds the order's row."""
    refund = order.refunds.get(state=RefundState.PROPOSED)
    move_refund(order, refund, RefundState.WITHDRAWN, detail=why[:300])
    note(order, Cause.REFUND_DECLINED, actor=actor, amount_sat=refund.amount_sat, reason=why[:300])
