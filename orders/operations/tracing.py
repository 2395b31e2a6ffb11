"""Where an order has left traces at the node: channels by memo or outpoint, transactions by label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from lightning.errors import NotFound
from lightning.node import LndNode
from lightning.types import ChainTransaction, Channel, ClosedChannel, Outpoint, PendingChannel, PendingPhase
from orders import queries
from orders.models import ChannelOpening, ChannelOrder
from orders.states import OpeningState, OrderState

AnyChannel = Channel | PendingChannel | ClosedChannel

#: Reorganisations that we look behind, when reading the wallet's history.
LOOK_BACK_BLOCKS = 6
#: How the label begins that staff give to what they send back by hand.
REFUND_LABEL = "refund"


@dataclass(frozen=True, slots=True)
class Trace:
    """An opening of this order that our records do not know."""

    outpoint: Outpoint | None
    transaction: ChainTransaction | None
    channel: AnyChannel | None


def funding_label(order: ChannelOrder) -> str:
    """The wallet's label of the transaction that funds the order's channel."""
    return f"funding:{order.pk}"


def conflict_label(order: ChannelOrder) -> str:
    """The wallet's label of a transaction that puts a funding out."""
    return f"conflict:{order.pk}"


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
    memo = str(order.pk)
    current: list[Channel | PendingChannel] = [*node.channels(), *node.pending_channels()]
    for channel in current:
        if channel.memo == memo or channel.outpoint in earlier:
            return channel
    for closed in node.closed_channels():
        if closed.outpoint in earlier and closed.close_type not in {"abandoned", "funding_canceled"}:
            return closed
    return None


def sent_back_sat(order_id: UUID, transactions: Iterable[ChainTransaction]) -> int:
    """What staff have sent back of this order's money by hand, as the wallet's labels say."""
    return sum(
        output.amount_sat
        for transaction in transactions
        if transaction.label.startswith(REFUND_LABEL) and str(order_id) in transaction.label
        for output in transaction.outputs
        if not output.ours
    )


def sent_back(order: ChannelOrder, node: LndNode) -> bool:
    """So much of the buyer's money went back that the rest does not pay the order.

    The order of a database that was put back does not know, and would deliver for nothing. A surplus that was returned
    leaves enough.
    """
    since = max(0, order.created_height - LOOK_BACK_BLOCKS)
    returned_sat = sent_back_sat(order.pk, node.transactions(from_height=since))
    return bool(returned_sat) and queries.received_sat(order) - returned_sat < order.order_total_sat


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
    return any(channel.memo == str(order.pk) and str(channel.outpoint) not in explained for channel in current)


def _funding_of(order: ChannelOrder, node: LndNode, failed_txids: set[str]) -> ChainTransaction | None:
    label = funding_label(order)
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
        if transaction is not None and output.amount_sat == order.capacity_sat and not output.ours:
            return Outpoint(transaction.txid, output.index)
    return None


def wallet_transaction(node: LndNode, txid: str) -> ChainTransaction | None:
    """The transaction as the node's wallet has it, its depth checked against the chain; None: not in the wallet."""
    try:
        return as_the_chain_has_it(node, node.transaction(txid))
    except NotFound:
        return None


def as_the_chain_has_it(node: LndNode, transaction: ChainTransaction) -> ChainTransaction:
    """The transaction, unmined where its block is not in the chain any more.

    LND's wallet takes back only the last block of a reorganisation: what was mined in an earlier one stays listed,
    ever deeper, even after a rival has confirmed.
    """
    if not transaction.confirmations or node.block_hash(transaction.block_height) == transaction.block_hash:
        return transaction
    return replace(transaction, confirmations=0, block_height=0, block_hash="")


def open_or_opening(node: LndNode, outpoint: Outpoint) -> Channel | PendingChannel | None:
    """The channel of this outpoint among those that are open or being opened."""
    for channel in node.channels():
        if channel.outpoint == outpoint:
            return channel
    for pending in node.pending_channels():
        if pending.outpoint == outpoint and pending.phase is PendingPhase.OPENING:
            return pending
    return None


def conflicting_spend(
    node: LndNode, *, from_height: int, inputs: Iterable[Outpoint], ours: str
) -> ChainTransaction | None:
    """The deepest wallet transaction other than `ours` that spends one of these coins."""
    coins = set(inputs)
    spends = [
        transaction
        for transaction in node.transactions(from_height=max(0, from_height - LOOK_BACK_BLOCKS))
        if transaction.txid != ours and coins.intersection(transaction.inputs)
    ]
    checked = [as_the_chain_has_it(node, transaction) for transaction in spends]
    return max(checked, key=lambda transaction: transaction.confirmations, default=None)
