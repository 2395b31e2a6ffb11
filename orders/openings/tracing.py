"""Where an order has left traces at the node: channels by memo or outpoint, transactions by label."""

from __future__ import annotations

from dataclasses import dataclass

from lightning.node import LndNode
from lightning.types import ChainTransaction, Channel, ClosedChannel, Outpoint, PendingChannel, PendingPhase
from orders import marks
from orders.models import ChannelOpening, ChannelOrder, TransactionKind
from orders.states import OpeningState, OrderState
from orders.wallet.looking import LOOK_BACK_BLOCKS, as_the_chain_has_it, wallet_transaction

AnyChannel = Channel | PendingChannel | ClosedChannel


@dataclass(frozen=True, slots=True)
class Trace:
    """An opening of this order that our records do not know."""

    outpoint: Outpoint | None
    transaction: ChainTransaction | None
    channel: AnyChannel | None


def find_trace(order: ChannelOrder, node: LndNode) -> Trace | None:
    """A channel or funding of this order that no live attempt explains; asked before every attempt.

    A database that was put back to an older state must not sell twice. Attempts that we cancelled ourselves are
    excepted, unless their transaction was mined or their channel is still there.
    """
    earlier = _earlier_outpoints(order)
    channel = _channel_of(order, node, earlier)
    transaction = _funding_of(order, node, {outpoint.txid for outpoint in earlier})
    if channel is not None and (transaction is None or transaction.txid != channel.outpoint.txid):
        transaction = wallet_transaction(node, channel.outpoint.txid)
    if channel is None and transaction is None:
        return None
    outpoint = channel.outpoint if channel is not None else _funding_output(order, transaction)
    return Trace(outpoint, transaction, channel)


def _earlier_outpoints(order: ChannelOrder) -> set[Outpoint]:
    failed = order.openings.filter(state=OpeningState.FAILED).select_related("transaction")
    return {Outpoint.parse(opening.funding_outpoint) for opening in failed if opening.funding_outpoint}


def _channel_of(order: ChannelOrder, node: LndNode, earlier: set[Outpoint]) -> AnyChannel | None:
    memo = marks.channel_memo(order.pk)
    current: list[Channel | PendingChannel] = [*node.channels(), *node.pending_channels()]
    for channel in current:
        if channel.memo == memo or channel.outpoint in earlier:
            return channel
    for closed in node.closed_channels():
        if closed.outpoint in earlier and closed.close_type not in {"abandoned", "funding_canceled"}:
            return closed
    return None


def is_behind(order: ChannelOrder, attempt: ChannelOpening, node: LndNode) -> bool:
    """The node has a channel or a funding of this order that is of no attempt we know, and not of this one.

    Only a database that was put back can see one: whoever is about to cancel an attempt asks first.
    """
    known = _earlier_outpoints(order)
    put_out = {attempt.transaction.txid} if attempt.transaction and order.state == OrderState.OPENING else set()
    if _funding_of(order, node, {outpoint.txid for outpoint in known} | put_out) is not None:
        return True
    explained = {str(outpoint) for outpoint in known} | {attempt.funding_outpoint}
    current: list[Channel | PendingChannel] = [*node.channels(), *node.pending_channels()]
    return any(
        channel.memo == marks.channel_memo(order.pk) and str(channel.outpoint) not in explained for channel in current
    )


def _funding_of(order: ChannelOrder, node: LndNode, failed_txids: set[str]) -> ChainTransaction | None:
    label = marks.label(TransactionKind.FUNDING, order.pk)
    for transaction in node.transactions(from_height=max(0, order.created_height - LOOK_BACK_BLOCKS)):
        if transaction.label != label:
            continue
        found = as_the_chain_has_it(node, transaction)
        if found.txid not in failed_txids or found.confirmations:
            return found
    return None


def _funding_output(order: ChannelOrder, transaction: ChainTransaction | None) -> Outpoint | None:
    outputs = transaction.outputs if transaction is not None else ()
    for output in outputs:
        if transaction is not None and output.amount_sat >= order.capacity_sat and not output.ours:
            return Outpoint(transaction.txid, output.index)
    return None


def open_or_opening(node: LndNode, outpoint: Outpoint) -> Channel | PendingChannel | None:
    """The channel of this outpoint among those that are open or being opened."""
    for channel in node.channels():
        if channel.outpoint == outpoint:
            return channel
    for pending in node.pending_channels():
        if pending.outpoint == outpoint and pending.phase is PendingPhase.OPENING:
            return pending
    return None


def is_anywhere(node: LndNode, outpoint: Outpoint) -> bool:
    """The node has this channel: it is open, or being opened, or on its way to its end.

    Open ones are asked for once more at the end: a zero-conf channel is pending in LND for a moment, and who looks
    in this moment would see it in neither list.
    """
    looks = (node.channels, node.pending_channels, node.channels)
    return any(each.outpoint == outpoint for look in looks for each in look())
