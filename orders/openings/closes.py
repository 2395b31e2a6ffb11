"""A channel that is closed: whether its buyer has had what he paid for, and what of it is proposed to go back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from lightning.types import ClosedChannel
from orders import blocks, leases, money
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder
from orders.models.order import Rail
from orders.payments import onchain
from orders.states import At, ClosingState, OpeningState
from orders.wallet import budget

_OURS: Final = frozenset({"local_force_close", "abandoned"})
_THEIRS: Final = frozenset({"remote_force_close", "breach_close"})
#: No transaction pays the buyer what was pushed to him.
_WITHOUT_TRANSACTION: Final = frozenset({"abandoned", "funding_canceled"})
_WHO: Final = {True: "by us", False: "by its peer", None: "nobody knows by whom"}


def closed_by_us(closed: ClosedChannel) -> bool | None:
    """Who closed it; None: the node does not know."""
    if closed.close_type in _OURS | _THEIRS:
        return closed.close_type in _OURS
    return closed.initiated_by_us


def case(
    order: ChannelOrder, closed: ClosedChannel, now: datetime, *, wanted: ChannelClosing | None = None
) -> Cause | None:
    """Why a person has to decide about the order's money; None: the buyer has had his channel.

    `wanted`: our own close that came of it. It kept the lease, unless a person has overridden that.
    """
    if order.opened_at is None or _was_closed_at_birth(order, closed):
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

    Money: what was pushed to him the closing transaction has paid him already, if there is one. A surplus that was
    added is due by itself where the funding may still come to nothing.
    """
    may_fail = opening.state != OpeningState.CONFIRMED
    bought_sat = order.client_balance_sat if may_fail else opening.push_sat
    pushed_sat = bought_sat if closed.close_type in _WITHOUT_TRANSACTION else 0
    is_theirs = closed_by_us(closed) is False
    kept_sat = cost_sat if is_theirs and settings.EARLY_CLOSE_KEEPS_CHAIN_FEES else 0
    return max(0, (order.fee_total_sat if fee_sat is None else fee_sat) + pushed_sat - kept_sat)


def _cost_sat(order: ChannelOrder, opening: ChannelOpening) -> int:
    """What its transactions have cost in fees, not below what was asked for that; and what was asked for its close."""
    put_out_sat = order.fee_budget_sat - budget.left_sat(order)
    spent_sat = put_out_sat + (opening.transaction.fee_sat if opening.transaction else 0)
    return max(spent_sat, order.open_fee_sat) + order.close_fee_sat


def _was_paid(order: ChannelOrder) -> bool:
    rail = Rail(order.counted_payment) if order.counted_payment else None
    at = At.SEEN if order.on_credit else At.CONFIRMED  # granted it is only once it is deep
    return rail is not None and money.of(order, at, rail=rail).is_covered


def tell(order: ChannelOrder, opening: ChannelOpening, closed: ClosedChannel, now: datetime) -> None:
    """Of a channel that was of no use, or that we closed early, a person is told, and a refund is proposed.

    The caller holds the order's row, and has recorded the close.
    """
    wanted = order.closings.filter(state=ClosingState.DONE).last()
    cause = case(order, closed, now, wanted=wanted)
    if cause is None:
        return
    is_later = order.opened_at is not None and not _is_early(order, order.opened_at, closed, now)
    fee_sat = unused_sat(order, closed) if cause is Cause.CLOSED_EARLY and wanted is not None and is_later else None
    cost_sat = _cost_sat(order, opening)
    sat = proposal_sat(order, opening, closed, cost_sat=cost_sat, fee_sat=fee_sat) if _was_paid(order) else 0
    is_proposed = onchain.propose_refund(order, sat, cause=cause)
    then = f"a refund of {sat} sat is proposed" if is_proposed else "nothing that was paid is left to go back"
    who = _WHO[closed_by_us(closed)]
    if cause is Cause.CLOSED_UNUSED:
        raise_flag(order, FlagKind.CLOSED_UNUSED, f"The channel closed before it was ever usable ({who}): {then}.")
    elif fee_sat is not None:
        raise_flag(order, FlagKind.CLOSED_EARLY, f"The channel closed before its lease's end ({who}): {then}.")
    else:
        raise_flag(order, FlagKind.CLOSED_EARLY, f"The channel closed soon after it was sold ({who}): {then}.")
