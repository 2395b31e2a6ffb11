"""The order says what its channel is: opening, open, closing or closed."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from lightning.node import LndNode
from lightning.types import Channel, ClosedChannel, PendingChannel, PendingPhase
from orders import flags, queries
from orders.causes import Cause, FlagKind
from orders.flags import Found
from orders.ids import channel_name
from orders.models import ChannelOpening, ChannelOrder
from orders.openings import closes, tracing
from orders.states import ClosingState, OpeningState, OrderState
from orders.transitions import locked, move, move_closing, note

#: A funding mined this long ago whose channel is still not usable needs a person.
STUCK_BLOCKS = 144


def follow(order_id: UUID, node: LndNode) -> None:
    """The order's state is that of its channel at the node.

    Repeat: safe. Raises: NodeUnavailable.
    """
    order = queries.order_or_raise(order_id)
    states = [OpeningState.PUBLISHED, OpeningState.CONFIRMED]
    opening = order.openings.filter(state__in=states).select_related("transaction").order_by("-attempt").first()
    if opening is None:
        return
    channel = tracing.open_channel(opening, node)
    if channel is not None:
        flags.found(order, Found.CHANNEL)
        _record_open(order, opening, channel, node)
        return
    pending = tracing.under_way(opening, node)
    if pending is not None:
        flags.found(order, Found.CHANNEL)
        if pending.phase is PendingPhase.OPENING:
            _flag_stuck(order, node)
        else:
            _record_closing(order_id, opening.pk, pending)
        return
    closed = tracing.closed_channel(opening, node)
    if closed is not None:
        flags.found(order, Found.CHANNEL)
        _record_closed(order_id, opening.pk, closed)
    elif opening.state == OpeningState.CONFIRMED and tracing.open_or_opening(node, opening) is None:
        # Asked twice: between two lists a channel may go from the second to the first.
        words = "The funding is mined, but the node does not know the channel."
        flags.flag(order_id, FlagKind.CHANNEL_UNKNOWN, words)


def _record_open(order: ChannelOrder, opening: ChannelOpening, channel: Channel, node: LndNode) -> None:
    if channel.active and order.state == OrderState.OPENING:
        with locked(order.pk) as held:
            current = held.openings.get(pk=opening.pk)
            _name(current, channel)
            if held.state == OrderState.OPENING:
                held.opened_at = timezone.now()
                name = current.short_channel_id or current.alias
                move(held, OrderState.OPEN, cause=Cause.CHANNEL_USABLE, channel=name)
        return
    if channel.short_channel_id and not opening.short_channel_id:
        with locked(order.pk) as held:
            _name(held.openings.get(pk=opening.pk), channel)
    _flag_stuck(order, node)


def _name(opening: ChannelOpening, channel: Channel) -> None:
    """As its node calls it: by the place of its funding, and a zero-conf channel by an alias too, from the first."""
    opening.short_channel_id = channel_name(channel.short_channel_id)
    opening.alias = channel_name(channel.alias)
    opening.save()


def awaits_name(order: ChannelOrder) -> bool:
    """Its channel was usable before its funding was mined, and its node has not said yet where that is."""
    return any(row.zero_conf and row.alias and not row.short_channel_id for row in order.openings.all())


def _flag_stuck(order: ChannelOrder, node: LndNode) -> None:
    started = order.lease_starts_height
    if order.state == OrderState.OPENING and started and node.info().block_height - started >= STUCK_BLOCKS:
        words = "The channel has been mined for a day and is not active."
        flags.flag(order.pk, FlagKind.CHANNEL_INACTIVE, words)


def _record_closing(order_id: UUID, opening_id: int, pending: PendingChannel) -> None:
    with locked(order_id) as order:
        if order.state not in {OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING}:
            return
        opening = order.openings.get(pk=opening_id)
        if pending.closing_txid and opening.closing_txid != pending.closing_txid:
            opening.closing_txid = order.closing_txid = pending.closing_txid
            opening.save()
            note(order, Cause.CLOSING_TRANSACTION_SEEN, txid=pending.closing_txid)
        _follow_closing(order, opening, ClosingState.UNDER_WAY, pending.closing_txid)
        if order.state != OrderState.CLOSING:
            move(order, OrderState.CLOSING, cause=Cause.CHANNEL_CLOSING, txid=pending.closing_txid)
        if order.opened_at is None:
            words = "The channel is being closed before it was ever usable: what goes back is proposed once it is."
            flags.raise_flag(order, FlagKind.CLOSED_UNUSED, words)


def _record_closed(order_id: UUID, opening_id: int, closed: ClosedChannel) -> None:
    with locked(order_id) as order:
        if order.state not in {OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING}:
            return
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        opening.closing_txid = order.closing_txid = closed.closing_txid
        opening.close_height, opening.close_type = closed.close_height, closed.close_type
        opening.short_channel_id = opening.short_channel_id or channel_name(closed.short_channel_id)
        opening.save()
        order.closed_at = timezone.now()
        _follow_closing(order, opening, ClosingState.DONE, closed.closing_txid)
        move(
            order, OrderState.CLOSED, cause=Cause.CHANNEL_CLOSED, txid=closed.closing_txid, kind=closed.close_type,
            by_us=closes.closed_by_us(closed),
        )  # fmt: skip
        closes.tell(order, opening, closed, order.closed_at)


def _follow_closing(order: ChannelOrder, opening: ChannelOpening, to: ClosingState, txid: str) -> None:
    """A close that we want is as far as its channel; one that was never asked of the node has come to nothing.

    Nor is one left that was wanted of another channel than the order's: the order has none any more that can be closed.
    """
    closing = queries.live_closing(order)
    if closing is None or (closing.opening_id == opening.pk and closing.state == to):
        return
    if closing.opening_id == opening.pk and closing.may_have_begun:
        move_closing(order, closing, to, txid=txid or closing.txid, trouble="")
        return
    why = "It was closed otherwise." if closing.opening_id == opening.pk else "Its channel is another one."
    move_closing(order, closing, ClosingState.WITHDRAWN, detail=why)
    note(order, Cause.CLOSE_WITHDRAWN, reason=why)
