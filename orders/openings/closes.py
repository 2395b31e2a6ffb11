"""A channel that is closed: whether its buyer has had what he paid for, and what of it is proposed to go back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning.types import ClosedChannel, Outpoint
from orders import blocks, leases, money
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder
from orders.models.order import Rail
from orders.payments import onchain
from orders.states import At, ClosingState, OpeningState, OrderState
from orders.transitions import locked
from orders.wallet import budget

_OURS: Final = frozenset({"local_force_close", "abandoned"})
_THEIRS: Final = frozenset({"remote_force_close", "breach_close"})
#: No transaction pays the buyer what was pushed to him.
_WITHOUT_TRANSACTION: Final = frozenset({"abandoned", "funding_canceled"})
OPENED: Final = (OpeningState.PUBLISHED, OpeningState.CONFIRMED)
_CAUSES: Final = {
    FlagKind.CLOSED_UNUSED: Cause.CLOSED_UNUSED,
    FlagKind.CLOSED_EARLY: Cause.CLOSED_EARLY,
}
_WHO: Final = {True: "by us", False: "by its peer", None: "nobody knows by whom"}


def closed_by_us(closed: ClosedChannel) -> bool | None:
    """Who closed it; None: the node does not know."""
    if closed.close_type in _OURS | _THEIRS:
        return closed.close_type in _OURS
    return closed.initiated_by_us


def case(
    order: ChannelOrder,
    closed: ClosedChannel,
    now: datetime,
    *,
    wanted: ChannelClosing | None = None,
    at_once: bool = False,
) -> Cause | None:
    """Why a person has to decide about the order's money; None: the buyer has had his channel.

    `wanted`: our own close that came of it. It kept the lease, unless a person has overridden that. `at_once`: it was
    usable before its funding was in a block.
    """
    if order.opened_at is None or (_was_closed_at_birth(order, closed) and not at_once):
        return Cause.CLOSED_UNUSED
    if wanted is not None and closed_by_us(closed) is not False:
        is_broken = wanted.overrides_lease and leases.left_blocks(order, closed.close_height) > 0
        return Cause.CLOSED_EARLY if is_broken else None
    if closed_by_us(closed) is not False and _is_early(order, order.opened_at, closed, now):
        return Cause.CLOSED_EARLY
    return None


def _was_closed_at_birth(order: ChannelOrder, closed: ClosedChannel) -> bool:
    """The block with its funding has its close too: LND calls such a channel active for a moment."""
    return 0 < closed.close_height <= (order.lease_starts_height or 0)


def _is_early(order: ChannelOrder, opened_at: datetime, closed: ClosedChannel, now: datetime) -> bool:
    """By the chain's count of time too: we may not have looked for long, and a forced close is told weeks later."""
    grace = timedelta(seconds=settings.EARLY_CLOSE_GRACE_SECONDS)
    lasted = max(0, closed.close_height - (order.lease_starts_height or closed.close_height))
    by_chain = closed.close_height > 0 and order.lease_starts_height is not None and blocks.lasting(lasted) < grace
    return by_chain or now - opened_at < grace


def unused_sat(order: ChannelOrder, closed: ClosedChannel) -> int:
    """What of the price was for the blocks that were sold, and that he has not had the channel for."""
    left = min(leases.left_blocks(order, closed.close_height), order.channel_expiry_blocks)
    return order.fee_total_sat * left // order.channel_expiry_blocks


def proposal_sat(
    order: ChannelOrder, opening: ChannelOpening, closed: ClosedChannel, *, cost_sat: int, fee_sat: int | None = None
) -> int:
    """What he paid for the channel (or `fee_sat` of its fee); less what the chain has cost us, where its peer closed it
    and the policy says so.

    Money: what was pushed to him the closing transaction has paid him already, if there is one; else it goes back, with
    the surplus that was added. A funding that comes to nothing after all is another case (`undone`).
    """
    pushed_sat = opening.push_sat if closed.close_type in _WITHOUT_TRANSACTION else 0
    is_theirs = closed_by_us(closed) is False
    kept_sat = cost_sat if is_theirs and settings.EARLY_CLOSE_KEEPS_CHAIN_FEES else 0
    return max(0, (order.fee_total_sat if fee_sat is None else fee_sat) + pushed_sat - kept_sat)


def _cost_sat(order: ChannelOrder, opening: ChannelOpening) -> int:
    """What its transactions have cost in fees, not below what was asked for that; and what was asked for its close."""
    put_out_sat = order.fee_budget_sat - budget.left_sat(order)
    spent_sat = put_out_sat + (opening.transaction.fee_sat if opening.transaction else 0)
    return max(spent_sat, order.open_fee_sat) + order.close_fee_sat


def was_paid(order: ChannelOrder) -> bool:
    """What counts is there: as far on its way as is asked of such an order."""
    rail = Rail(order.counted_payment) if order.counted_payment else None
    at = At.SEEN if order.on_credit else At.CONFIRMED  # granted it is only once it is deep
    return rail is not None and money.of(order, at, rail=rail).is_covered


def tell(order: ChannelOrder, opening: ChannelOpening, closed: ClosedChannel, now: datetime) -> None:
    """Of a channel that was of no use, or that we closed early, a person is told, and a refund is proposed.

    The caller holds the order's row, and has recorded the close.
    """
    cause = case(order, closed, now, wanted=_wanted(order), at_once=opening.zero_conf)
    if cause is not None:
        _tell(order, opening, closed, cause, now)


def _wanted(order: ChannelOrder) -> ChannelClosing | None:
    """Our own close that came of the order's channel."""
    return order.closings.filter(state=ClosingState.DONE).last()


def _tell(order: ChannelOrder, opening: ChannelOpening, closed: ClosedChannel, cause: Cause, now: datetime) -> None:
    fee_sat = _left_of_fee_sat(order, closed, cause, now)
    sat = _owed_sat(order, opening, closed, fee_sat)
    is_proposed = onchain.propose_refund(order, sat, cause=cause)
    then = f"a refund of {sat} sat is proposed" if is_proposed else "nothing that was paid is left to go back"
    who = _WHO[closed_by_us(closed)]
    if cause is Cause.CLOSED_UNUSED:
        raise_flag(order, FlagKind.CLOSED_UNUSED, f"The channel closed before it was ever usable ({who}): {then}.")
    elif fee_sat is not None:
        raise_flag(order, FlagKind.CLOSED_EARLY, f"The channel closed before its lease's end ({who}): {then}.")
    else:
        raise_flag(order, FlagKind.CLOSED_EARLY, f"The channel closed soon after it was sold ({who}): {then}.")


def _left_of_fee_sat(order: ChannelOrder, closed: ClosedChannel, cause: Cause, now: datetime) -> int | None:
    """The fee's share for what was left of a lease that we broke; None: all of it is owed."""
    is_later = order.opened_at is not None and not _is_early(order, order.opened_at, closed, now)
    is_share = cause is Cause.CLOSED_EARLY and is_later and _wanted(order) is not None
    return unused_sat(order, closed) if is_share else None


def _owed_sat(order: ChannelOrder, opening: ChannelOpening, closed: ClosedChannel, fee_sat: int | None) -> int:
    """What is proposed of what was paid; nothing while that is not there."""
    if not was_paid(order):
        return 0
    return proposal_sat(order, opening, closed, cost_sat=_cost_sat(order, opening), fee_sat=fee_sat)


def tell_again(order_id: UUID) -> None:
    """What was not there when the channel closed, and is there now, is proposed to go back as it would have been then.

    A deposit was in no block, or was taken back by a reorganisation. Repeat: safe; what a person has decided, or has
    to, stays as it is.
    """
    with locked(order_id) as order:
        opening = order.openings.filter(state__in=OPENED).select_related("transaction").last()
        cause = _told(order)
        if opening is None or cause is None or order.refunds.filter(cause=cause).exists():
            return
        closed, at = _as_recorded(order, opening), order.closed_at or timezone.now()
        fee_sat = _left_of_fee_sat(order, closed, cause, at)
        if _owed_sat(order, opening, closed, fee_sat):  # else it is told already that there is nothing
            _tell(order, opening, closed, cause, at)


def _told(order: ChannelOrder) -> Cause | None:
    """Which case was made of the close, if one was."""
    told = order.flags.filter(kind__in=_CAUSES).last() if order.state == OrderState.CLOSED else None
    return _CAUSES[FlagKind(told.kind)] if told else None


def _as_recorded(order: ChannelOrder, opening: ChannelOpening) -> ClosedChannel:
    """As the node told of it when it was closed."""
    closed = order.events.filter(cause=Cause.CHANNEL_CLOSED).last()
    return ClosedChannel(
        outpoint=Outpoint.parse(opening.funding_outpoint),
        peer_pubkey=opening.node_pubkey,
        short_channel_id=0,
        capacity_sat=opening.capacity_sat,
        closing_txid=opening.closing_txid,
        close_height=opening.close_height or 0,
        close_type=opening.close_type,
        initiated_by_us=closed.facts.get("by_us") if closed else None,
    )
