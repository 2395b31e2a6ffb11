"""Which nodes are connected to ours: as its events tell, and asked of it where they do not."""

from __future__ import annotations

import asyncio

from lightning import connection as lightning
from lightning.types import PeerEvent
from streams.hands import Hands


class Connected:
    """Use it inside one running event loop.

    What events tell may be wrong for a moment, as any answer may: then an attempt fails, and is tried again. A node
    that is known to be there is not dialled; one that is not is asked about. Strangers make us ask, and the list is
    long: that is done by hands of its own, which nothing else waits for.
    """

    def __init__(self) -> None:
        self._hands = Hands()
        self._told: set[str] = set()
        #: What events say while the node is asked: it is newer than the answer.
        self._meanwhile: list[PeerEvent] | None = None
        self._asking = asyncio.Lock()
        self._next: asyncio.Task[frozenset[str]] | None = None

    def has(self, pubkey: str) -> bool:
        """The node's events say that it is connected. False: it is not, or nobody has told."""
        return pubkey in self._told

    def told(self, event: PeerEvent) -> None:
        """The node has said that a peer came or went."""
        if self._meanwhile is not None:
            self._meanwhile.append(event)
        self._follow(event)

    def _follow(self, event: PeerEvent) -> None:
        if event.online:
            self._told.add(event.pubkey)
        else:
            self._told.discard(event.pubkey)

    async def compare(self) -> None:
        """Those who were there before the node's events were listened to are known too, and no others.

        To be called now and then: an event that came meanwhile may be lost. Raises: NodeUnavailable.
        """
        meanwhile = self._meanwhile = []
        try:
            self._told = set(await self._now())
        finally:
            self._meanwhile = None
        for event in meanwhile:
            self._follow(event)

    def forget(self) -> None:
        """The node's events are not listened to any more."""
        self._told.clear()

    async def there(self, pubkey: str) -> bool:
        """The node is connected; asked where no event says so. Raises: NodeUnavailable."""
        return self.has(pubkey) or pubkey in await self._now()

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is asked any more; False where the node is still waited for after so long."""
        return await self._hands.close(patience_seconds)

    async def _now(self) -> frozenset[str]:
        """From a call that begins after this, and is one for all who ask at a time. Raises: NodeUnavailable."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask())
        return await asyncio.shield(self._next)

    async def _ask(self) -> frozenset[str]:
        async with self._asking:
            self._next = None  # who asks from here on wants a later call
            return await self._hands.do(_listed)


def _listed() -> frozenset[str]:
    return frozenset(peer.pubkey for peer in lightning.node().peers())
