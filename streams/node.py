"""The node's subscriptions, for as long as the node is there; and again when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from lightning import connection as lightning
from lightning.errors import LightningError, NodeUnavailable
from lightning.streams import LndStreams
from lightning.types import ChainTransaction, ChannelEvent, PartsOnTheWay, PeerEvent
from orders import alive, outage, reconcile
from orders.errors import NotAvailable
from orders.outage import Outage
from streams import hints, peers
from streams.connected import Connected
from streams.desk import Desk
from streams.hands import Hands
from streams.invoices import Invoices, Trust
from streams.together import together

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class NodeStreams:
    """What the node says becomes nudges. After each connection all is looked at, so that nothing stays missed."""

    def __init__(
        self, hands: Hands, connected: Connected, *, news: Callable[[UUID], None], block_came: Callable[[int], None]
    ) -> None:
        self.is_up = False
        #: Set when the node has come or gone.
        self.changed = asyncio.Event()
        self.invoices: Invoices | None = None
        self._hands = hands
        self._connected = connected
        self._news = news
        self._block_came = block_came
        self._desk = Desk()
        self._peers = hints.PeersSeen()
        self._outage = Outage(log, "the node's subscriptions")

    @property
    def wants_new(self) -> bool:
        """Invoices of new orders are to be followed before anybody pays them."""
        return self.invoices is None or self.invoices.trust is not Trust.PROVEN

    def begin(self, order_id: UUID) -> None:
        """The order is new: its invoice, if it has one, is followed."""
        if self.invoices is not None:
            self.invoices.begin(order_id)

    def consider(self, order_id: UUID) -> None:
        """The order may have a new invoice to follow."""
        if self.invoices is not None:
            self.invoices.consider(order_id)

    def detail(self) -> str:
        """Whether the node is there, how many invoices we subscribe to, if peers are heard and events relied on."""
        invoices, trust = (0, "") if self.invoices is None else (len(self.invoices), self.invoices.trust)
        heard = alive.HEARS_PEERS if self._desk.is_open else "peers=unheard"
        return f"node={'up' if self.is_up else 'down'} invoices={invoices} {heard} events={trust}"

    async def run(self) -> None:
        """The node is listened to, until this is cancelled. Raises: what is not the node's fault."""
        was_away = False
        while True:
            try:
                await self._session()
            except (LightningError, NotAvailable) as problem:
                await asyncio.sleep(self._outage.pause_seconds())  # one that shuts down still answers for a moment
                is_away = await self._hands.do(_node_is_away)
                if not is_away and not was_away:  # that it is away is said for all of us; this may have begun then
                    self._outage.begun(problem)
                was_away = is_away

    async def _session(self) -> None:
        node = LndStreams(lightning.credentials())
        self.invoices = Invoices(self._hands, node, self._news)
        block, changes = asyncio.Event(), asyncio.Queue[ChannelEvent]()
        try:
            await together(
                _each_where_allowed(node.transactions(), self._transaction),
                _each(node.channel_events(), lambda event: self._channel(event, changes)),
                self._follow_channels(changes),
                _each(node.peer_events(), self._peer),
                peers.answer(node, self._desk, self._hands),
                peers.announce(self._hands),
                self.invoices.run(),
                self._look_after_blocks(block),
                # Last: its first answer, the present height, comes when the others have been asked for.
                _each(node.blocks(), lambda height: self._block(height, block)),
            )
        finally:
            self.is_up, self.invoices = False, None
            self._connected.forget()
            self.changed.set()
            await node.close()

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is answered any more; False where something still runs after so long."""
        return await self._desk.close(patience_seconds)

    async def _look_after_blocks(self, block: asyncio.Event) -> None:
        """One look at a time, and one more after it for all blocks that came meanwhile."""
        while True:
            await block.wait()
            block.clear()
            await self._hands.do(_new_block)
            await self._connected.compare()
            if not self.is_up:
                log.info("the node is listened to")
                self.is_up = True
                if self.invoices is not None:
                    self.invoices.listened_to()
                self.changed.set()
            self._outage.over()

    async def _block(self, height: int, to_look_at: asyncio.Event) -> None:
        self._block_came(height)
        to_look_at.set()

    async def _transaction(self, transaction: ChainTransaction) -> None:
        await self._hands.follow(hints.transaction_seen, transaction)

    async def _channel(self, event: ChannelEvent | PartsOnTheWay, changes: asyncio.Queue[ChannelEvent]) -> None:
        """A payment that is named waits for no change of a channel: of these there may be thousands at once."""
        if not isinstance(event, PartsOnTheWay):
            changes.put_nowait(event)
        elif self.invoices is not None:
            self.invoices.named(event.hashes)

    async def _follow_channels(self, changes: asyncio.Queue[ChannelEvent]) -> None:
        while True:
            await self._hands.follow(hints.channel_changed, await changes.get())

    async def _peer(self, event: PeerEvent) -> None:
        self._connected.told(event)
        if event.online and self._peers.counts(event.pubkey):
            await self._hands.follow(hints.peer_came, event.pubkey)


async def _each(stream: AsyncIterator[Value], follow: Callable[[Value], Awaitable[None]]) -> None:
    """Each value was followed. Raises: NodeUnavailable when the stream ends, which none of these does by itself."""
    try:
        async for value in stream:
            await follow(value)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # else nobody cancelled us: the call was, beneath us
    raise NodeUnavailable("The node ended a subscription.")


async def _each_where_allowed(stream: AsyncIterator[Value], follow: Callable[[Value], Awaitable[None]]) -> None:
    """As `_each`; nothing, for as long as the others last, where our macaroon lacks the right: it is for speed only."""
    try:
        await _each(stream, follow)
    except NodeUnavailable as problem:
        if problem.reason != "PERMISSION_DENIED":
            raise
        log.info(
            "the macaroon does not let us hear of transactions: deposits are seen with their block, or in a minute"
        )
        await asyncio.Event().wait()


def _new_block() -> None:
    reconcile.new_block(lightning.node())


def _node_is_away() -> bool:
    return outage.of_node().explains(lightning.node())
