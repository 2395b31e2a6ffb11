"""A channel that never was: its funding was double-spent after its order had passed for delivered."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.utils import timezone

from orders import queries
from orders.actors import LSP
from orders.causes import FOR_A_CHANNEL, Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.openings.closes import was_paid
from orders.payments import counting, onchain
from orders.states import ClosingState, OrderState, RefundState
from orders.transitions import locked, move, move_closing, note

#: Why it goes back: of each rail its own, as each has the price in another account.
_CAUSES: Final = {Rail.LIGHTNING: Cause.NOT_DELIVERED, Rail.ONCHAIN: Cause.FUNDING_CONFLICTED}
_NEVER_WAS: Final = "There never was a channel."


def record(order: ChannelOrder, attempt: int) -> None:
    """The order is CLOSED, what was proposed for a channel that closed is withdrawn, and its whole price is proposed.

    The caller holds the order's row; its last attempt has failed.
    Money: the price is the buyer's, in the books too. What is held still goes back by itself.
    """
    if order.state == OrderState.CLOSED:
        note(order, Cause.FUNDING_CONFLICTED, attempt=attempt)
    else:
        order.closed_at = timezone.now()
        move(order, OrderState.CLOSED, cause=Cause.FUNDING_CONFLICTED, attempt=attempt)
    end_closing(order)
    counting.give_back(order, cause=Cause.FUNDING_CONFLICTED, actor=LSP)
    is_proposed, sat = _settle_up(order)
    _say(order, f"a refund of {sat} sat is proposed" if is_proposed else "nothing of its price waits for a decision")


def end_closing(order: ChannelOrder) -> None:
    """No close of its channel is wanted any more, nor under way: its attempt has failed.

    The caller holds the order's row. Repeat: safe.
    """
    closing = queries.live_closing(order)
    if closing is not None:
        move_closing(order, closing, ClosingState.WITHDRAWN, detail=_NEVER_WAS)
        note(order, Cause.CLOSE_WITHDRAWN, reason=_NEVER_WAS)


def tell_again(order_id: UUID) -> None:
    """What was not there when the funding was lost, and is there now, is proposed to go back. Repeat: safe."""
    with locked(order_id) as order:
        if order.is_undone and order.state == OrderState.CLOSED and not _was_told(order):
            is_proposed, sat = _settle_up(order)
            if is_proposed:
                _say(order, f"a refund of {sat} sat is proposed")


def _say(order: ChannelOrder, then: str) -> None:
    words = f"The funding of this order's channel was double-spent, so there never was one: {then}."
    raise_flag(order, FlagKind.DOUBLE_SPENT, words)


def _settle_up(order: ChannelOrder) -> tuple[bool, int]:
    """Whether its price is proposed to go back since, and how much that is."""
    onchain.withdraw_refunds(order, only=FOR_A_CHANNEL)
    rail = Rail(order.counted_payment)
    is_held = order.invoice is not None and bool(order.invoice.held_back_sat)
    sat = order.order_total_sat if was_paid(order) and not (rail is Rail.LIGHTNING and is_held) else 0
    return onchain.propose_refund(order, sat, cause=_CAUSES[rail]), sat


def _was_told(order: ChannelOrder) -> bool:
    """A person has to decide, or has."""
    decided = order.refunds.filter(cause__in=_CAUSES.values())
    waits = order.refunds.filter(cause__in=FOR_A_CHANNEL, state=RefundState.PROPOSED)
    return decided.exists() and not waits.exists()
