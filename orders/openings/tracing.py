"""Where an order has left traces at the node: channels by memo or outpoint, transactions by label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from django.utils import timezone

from lightning.node import LndNode
from lightning.types import ChainTransaction, Channel, ClosedChannel, Outpoint, PendingChannel, PendingPhase
from orders import marks, queries
from orders.models import ChannelOpening, ChannelOrder, TransactionKind
from orders.states import OpeningState, OrderState
from orders.wallet import coins
from orders.wallet.looking import LOOK_BACK_BLOCKS, as_the_chain_has_it, wallet_transaction

AnyChannel = Channel | PendingChannel | ClosedChannel
#: For one peer LND reads all its channels too, and answers less: who has named many nodes makes it read them once.
_FEW_PEERS: Final = 2
#: Coins are leased for no less, whatever FUNDING_LEASE_SECONDS was when they were.
_SHORTEST_LEASE: Final = timedelta(minutes=10)
_CLOCKS_DIFFER: Final = timedelta(minutes=1)
AnyOfOne = TypeVar("AnyOfOne", Channel, PendingChannel, ClosedChannel)


@dataclass(frozen=True, slots=True)
class Trace:
    """An opening of this order that our records do not know."""

    outpoint: Outpoint | None
    transaction: ChainTransaction | None
    channel: AnyChannel | None


def find_trace(order: ChannelOrder, node: LndNode, *, quickly: bool = False) -> Trace | None:
    """A channel or funding of this order that no live attempt explains; asked before every attempt.

    `quickly`: LND is not made to read all its channels where an attempt would show otherwise.
    A database that was put back to an older state must not sell twice. Attempts that we cancelled ourselves are
    excepted, unless their transaction was mined or their channel is still there.
    """
    earlier = _earlier_outpoints(order)
    listing = node.begin_channels_with(order.node_pubkey) if quickly and _would_show(order) else None  # it takes long
    shows = _may_be_with_anybody(order, node)  # before the transactions: once one is mined its leases are over
    transaction = _funding_of(order, node, {outpoint.txid for outpoint in earlier})
    shows = shows or transaction is not None
    if listing is not None and not shows:
        channel: AnyChannel | None = _named(order, listing(), earlier)
    else:
        channel = _channel_of(order, node, earlier, shows=shows)
    if channel is not None and (transaction is None or transaction.txid != channel.outpoint.txid):
        transaction = wallet_transaction(node, channel.outpoint.txid)
    if channel is None and transaction is None:
        return None
    outpoint = channel.outpoint if channel is not None else _funding_output(order, transaction)
    return Trace(outpoint, transaction, channel)


def _earlier_outpoints(order: ChannelOrder) -> set[Outpoint]:
    failed = [opening for opening in _attempts(order) if opening.state == OpeningState.FAILED]
    return {Outpoint.parse(opening.funding_outpoint) for opening in failed if opening.funding_outpoint}


def _attempts(order: ChannelOrder) -> Iterable[ChannelOpening]:
    """As they were read with the order, where they were: a look reads both, and whoever looks has the order's lock."""
    if "openings" in getattr(order, "_prefetched_objects_cache", {}):
        return order.openings.all()
    return order.openings.select_related("transaction")


def _would_show(order: ChannelOrder) -> bool:
    """An attempt that our records have lost would have its coins leased still, or its funding published.

    They are leased before the peer is asked to sign, and for longer than this order is old. Of attempts that our
    records know they may have been freed.
    """
    age = timezone.now() - order.created_at
    return timedelta() <= age < _SHORTEST_LEASE - _CLOCKS_DIFFER and not list(_attempts(order))


def _channel_of(order: ChannelOrder, node: LndNode, earlier: set[Outpoint], *, shows: bool) -> AnyChannel | None:
    """As far as our records tell whom it is with; whoever it is with where something else `shows` that there is one.

    A closed channel has no memo: it is known by its outpoint alone.
    """
    found: AnyChannel | None = _named(order, _current(order, node), earlier)
    for closed in node.closed_channels() if found is None and earlier else ():
        if closed.outpoint in earlier and closed.close_type not in {"abandoned", "funding_canceled"}:
            return closed
    if found is None and (shows or _wants_zero_conf(order)):
        found = _named(order, node.channels(), earlier)
    return found


def _named(
    order: ChannelOrder, channels: Iterable[Channel | PendingChannel], earlier: Collection[Outpoint]
) -> Channel | PendingChannel | None:
    memo = marks.channel_memo(order.pk)
    return next((channel for channel in channels if channel.memo == memo or channel.outpoint in earlier), None)


def _current(order: ChannelOrder, node: LndNode) -> list[Channel | PendingChannel]:
    """The open channels with each node that the order was ever to be opened to, and all that are under way."""
    return [*_with_peers(order, node), *node.pending_channels()]


def _with_peers(order: ChannelOrder, node: LndNode) -> Iterable[Channel]:
    """The open channels with each node that the order was ever to be opened to.

    A node may have thousands at rest, and each order asks.
    """
    peers = {order.node_pubkey, *(attempt.node_pubkey for attempt in _attempts(order))} - {""}
    if len(peers) > _FEW_PEERS:
        return node.channels()
    return [channel for pubkey in sorted(peers) for channel in node.channels_with(pubkey)]


def _wants_zero_conf(order: ChannelOrder) -> bool:
    """Its channel may be usable while nothing of it is published: then no label tells of one that our records lost."""
    return order.required_channel_confirmations == 0


def _may_be_with_anybody(order: ChannelOrder, node: LndNode, explained: Collection[str] = ()) -> bool:
    """An attempt that our records have lost may have been for another node than they know: all channels are asked for.

    Either the records were found behind the node's once, after the order was made; or coins are leased for the order
    that no attempt explains. What was mined or published has a transaction besides, which is found by its label, and
    what is under way is listed whole: so this is about channels that are usable and not published yet.
    """
    if queries.were_behind_since(order.created_at):
        return True
    return any(str(coin) not in explained for coin in coins.held(marks.lock_id(order.pk), node))


def is_behind(order: ChannelOrder, attempt: ChannelOpening, node: LndNode) -> bool:
    """The node has a channel or a funding of this order that is of no attempt we know, and not of this one.

    Only a database that was put back can see one: whoever is about to cancel an attempt asks first.
    """
    known = _earlier_outpoints(order)
    put_out = {attempt.transaction.txid} if attempt.transaction and order.state == OrderState.OPENING else set()
    if _funding_of(order, node, {outpoint.txid for outpoint in known} | put_out) is not None:
        return True
    explained = {str(outpoint) for outpoint in known} | {attempt.funding_outpoint}
    current: list[Channel | PendingChannel] = _current(order, node)
    spends = {str(coin) for coin in attempt.transaction.spends} if attempt.transaction else set()
    if _wants_zero_conf(order) or _may_be_with_anybody(order, node, explained=spends):
        current += node.channels()
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


def open_channel(opening: ChannelOpening, node: LndNode) -> Channel | None:
    """The attempt's channel where it is open, in whatever sense.

    It is with the node that we asked. Of an adopted attempt we know that only where its channel was there then: so one
    that is not found is looked for among all.
    """
    found = _of(opening, node.channels_with(opening.node_pubkey))
    is_adopted = not opening.pending_chan_id
    return _of(opening, node.channels()) if found is None and is_adopted else found


def _of(opening: ChannelOpening, channels: Iterable[AnyOfOne]) -> AnyOfOne | None:
    return next((channel for channel in channels if str(channel.outpoint) == opening.funding_outpoint), None)


def under_way(opening: ChannelOpening, node: LndNode) -> PendingChannel | None:
    """The attempt's channel where it is being opened or closed."""
    return _of(opening, node.pending_channels())


def closed_channel(opening: ChannelOpening, node: LndNode) -> ClosedChannel | None:
    """The attempt's channel where it is over. Every channel that there ever was is read: for who has seen it nowhere
    else.
    """
    return _of(opening, node.closed_channels())


def open_or_opening(node: LndNode, opening: ChannelOpening) -> Channel | PendingChannel | None:
    """The attempt's channel where it is open or being opened.

    Those under way are asked for first: from there a channel goes to the open ones, and so is in one of the two lists.
    """
    pending = under_way(opening, node)
    if pending is not None:
        return pending if pending.phase is PendingPhase.OPENING else None
    return open_channel(opening, node)


def is_anywhere(node: LndNode, opening: ChannelOpening) -> bool:
    """The node has the attempt's channel: it is open, or being opened, or on its way to its end.

    Open ones are asked for once more at the end: a zero-conf channel is pending in LND for a moment, and who looks
    in this moment would see it in neither list.
    """
    looks: tuple[Callable[[ChannelOpening, LndNode], object], ...] = (open_channel, under_way, open_channel)
    return any(look(opening, node) is not None for look in looks)
