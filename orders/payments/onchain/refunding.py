"""What goes back on chain is recorded, and where to: before anything is signed, and under the order's lock."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils import timezone

from orders import books
from orders.actors import LSP, Authority
from orders.causes import BY_DECISION, Cause, FlagKind
from orders.errors import NotPossible
from orders.flags import raise_flag
from orders.models import ChannelOrder, Refund
from orders.nudges import nudge
from orders.payments.onchain import due
from orders.states import OrderState, RefundState
from orders.transitions import locked, move_refund, note

#: Of one order, by one who says it: each is journalled, and looked at.
_MOST_ADDRESSES: Final = 20


def is_going_back(order: ChannelOrder) -> bool:
    """What was paid for the order goes back: nothing else can come of it. Where nobody knows where to, it may."""
    refund = due.live(order)
    if refund is None or not refund.ends_order:
        return False
    return refund.state != RefundState.DUE or bool(order.refund_address)


def is_unsigned(order: ChannelOrder) -> bool:
    """What is to go back is not on its way: nothing was signed that could be in the chain one day."""
    refund = due.live(order)
    return refund is not None and refund.state == RefundState.DUE


def intend(order_id: UUID) -> Refund | None:
    """What is the buyer's again has its row, and is kept out of what is sold; None where nothing is, or one is live.

    Money: refused while an attempt is live, because its channel may yet come to be, unless it is a surplus.
    Repeat: safe.
    """
    now = timezone.now()
    with locked(order_id) as order:
        amount_sat = due.next_sat(order, now)
        ends_order = due.ends(order, now) and order.state != OrderState.REFUNDED
        if amount_sat <= 0 or due.live(order) is not None or (ends_order and order.live_opening is not None):
            return None
        amount_sat, is_enough = _with_what_was_too_little(order, amount_sat, now)
        cause = _cause(order, ends_order=ends_order)
        refund = Refund.objects.create(
            order=order, amount_sat=amount_sat, ends_order=ends_order, cause=cause, created_at=now
        )
        books.refund_begun(order, refund)
        order.step += 1
        nudge(order)
        note(order, Cause.REFUND_DUE, amount_sat=amount_sat, why=refund.cause)
        if not is_enough:
            keep_one(order, refund, "Sending it would cost too much of it.", actor=LSP, too_little=True)
        else:
            require_address(order, amount_sat)
    return refund


def _with_what_was_too_little(order: ChannelOrder, amount_sat: int, now: datetime) -> tuple[int, bool]:
    """What is due, with all that was kept since it was too little by itself, where together they are enough."""
    least_sat = due.least_sat(order, now)
    kept = list(order.refunds.filter(state=RefundState.KEPT, too_little=True))
    if amount_sat + sum(row.amount_sat for row in kept) < least_sat:
        return amount_sat, False
    for row in kept:
        _withdraw(order, row)
    return due.next_sat(order, now), True


def require_address(order: ChannelOrder, amount_sat: int) -> None:
    """A person is told where nobody knows where to. The caller holds the order's row."""
    if not order.refund_address:
        words = f"{amount_sat} sat are to go back on chain, and no address is known: ask the buyer for one."
        raise_flag(order, FlagKind.REFUND_NEEDED, words)


def _cause(order: ChannelOrder, *, ends_order: bool) -> str:
    """Why it goes back: how the order ended; else it is more than the order asked for."""
    if not ends_order:
        return Cause.SURPLUS
    if order.state in {OrderState.EXPIRED, OrderState.REJECTED, OrderState.GIVE_UP}:
        ended = order.events.filter(to_state=order.state).exclude(from_state=order.state).last()
        return ended.cause if ended else Cause.EXPIRED
    return Cause.NEVER_CLAIMED


def keep_one(order: ChannelOrder, refund: Refund, why: str, *, actor: Authority, too_little: bool = False) -> None:
    """It is kept for the buyer, told and booked. The caller holds the order's row."""
    move_refund(order, refund, RefundState.KEPT, detail=why[:300], too_little=too_little)
    note(order, Cause.REFUND_KEPT, actor=actor, amount_sat=refund.amount_sat, reason=why[:300])


def keep_barred(order: ChannelOrder) -> None:
    """What is to go back is kept, since its address is listed as one that we do not serve, and staff are told.

    The caller holds the order's row; nothing is signed.
    """
    refund = due.live(order)
    if refund is None:
        return
    keep_one(order, refund, "Its address is not served.", actor=LSP)
    words = f"{refund.amount_sat} sat are kept: their refund address is not served. Say another, and release them."
    raise_flag(order, FlagKind.REFUND_BARRED, words)


def withdraw_if_owed(order: ChannelOrder, now: datetime) -> bool:
    """Whether there was a refund of which nothing was signed, and which is owed no more: it is withdrawn.

    The caller holds the order's row, and has taken the order up again, or a deposit has vanished.
    """
    refund = due.live(order)
    if refund is None or refund.state != RefundState.DUE or _is_owed(order, refund, now):
        return False
    _withdraw(order, refund)
    return True


def _is_owed(order: ChannelOrder, refund: Refund, now: datetime) -> bool:
    """As it was recorded: what would end an order that lives again is another sum, though it may be as much."""
    if refund.cause in BY_DECISION:
        return True
    still_ends = due.ends(order, now) or not refund.ends_order
    return still_ends and due.next_sat(order, now, besides=refund) == refund.amount_sat


def _withdraw(order: ChannelOrder, refund: Refund, *, actor: Authority = LSP) -> None:
    move_refund(order, refund, RefundState.WITHDRAWN)
    note(order, Cause.REFUND_WITHDRAWN, actor=actor, amount_sat=refund.amount_sat)


def withdraw_all(
    order: ChannelOrder, *, only_ends_order: bool = False, only: Collection[Cause] = (), actor: Authority = LSP
) -> None:
    """Nothing of which nothing was signed goes back, or is kept: staff have returned it, or it buys the channel.

    `only`: of what goes back for these reasons. The caller holds the order's row.
    """
    if not due.is_possible(order):
        return
    unsigned = order.refunds.filter(state__in=[RefundState.DUE, RefundState.KEPT, RefundState.PROPOSED])
    unsigned = unsigned.filter(cause__in=only) if only else unsigned
    for refund in unsigned.filter(ends_order=True) if only_ends_order else unsigned:
        _withdraw(order, refund, actor=actor)


def release(order: ChannelOrder, *, actor: Authority) -> bool:
    """Whether something was kept: the oldest of it is due. The caller holds the order's row; no refund is live."""
    kept = order.refunds.filter(state=RefundState.KEPT).first()
    if kept is None:
        return False
    move_refund(order, kept, RefundState.DUE, detail="", too_little=False)
    note(order, Cause.REFUND_DUE, actor=actor, amount_sat=kept.amount_sat, why=kept.cause)
    require_address(order, kept.amount_sat)
    return True


def say_address(order: ChannelOrder, where: str, *, actor: Authority) -> None:
    """What is to go back goes there. The caller holds the order's row, and has checked the address.

    Repeat: safe. Raises: NotPossible once it is signed.
    """
    refund = due.live(order)
    if refund is not None and refund.state != RefundState.DUE and where != refund.address:
        raise NotPossible("The refund is on its way already.")
    if order.refund_address == where:
        return
    if order.events.filter(cause=Cause.REFUND_ADDRESS_GIVEN, actor=str(actor)).count() >= _MOST_ADDRESSES:
        raise NotPossible("The address was changed too often.")
    order.refund_address = where
    order.step += 1
    note(order, Cause.REFUND_ADDRESS_GIVEN, actor=actor, address=where)
    nudge(order)
