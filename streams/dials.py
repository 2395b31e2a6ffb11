"""Reaching the nodes that orders are claimed for, many at once: no thread and no connection waits for any of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import UUID

from lightning import connection as lightning
from lightning import dialling
from lightning.dialling import MOST_LOOKUPS, RESOLVE_SECONDS
from lightning.errors import LightningError, NodeUnavailable, PeerOffline
from lightning.types import NodeAddress
from orders.openings import finding
from orders.openings.opening import CONNECT_SECONDS
from orders.openings.turns import Limits
from orders.queries import Claimed
from streams.connected import Connected
from streams.hands import Hands
from streams.slots import Asking, Patience, Slots

log = logging.getLogger(__name__)

#: A dial costs the node a socket, and us next to nothing.
_LIMITS: Final = Limits(at_once=128, repeated=96, of_client=112, repeated_of_client=32)
_MOST_OF_PEER: Final = 4
#: Where a first one waits for its turn, a repeated one ends at once, and a first one when it has had its time.
_PATIENCE: Final = Patience(first_seconds=2.0, repeated_seconds=0.0)
_LISTED_PAUSE_SECONDS: Final = 0.1

#: Why the node was not reached; None: it was, or nothing is known, as our own node is away.
Outcome = PeerOffline | None


class Dials:
    """Each order that is asked for has one end: `ended` is called with its outcome, in the event loop's thread."""

    def __init__(self, *, connected: Connected, ended: Callable[[UUID, NodeAddress, bool, Outcome], None]) -> None:
        self.slots = Slots(_LIMITS, _PATIENCE, _MOST_OF_PEER)
        self._ended = ended
        self._hands = Hands()
        self._connected = connected
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._asked: dict[UUID, Claimed] = {}
        self._turns: dict[UUID, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._tasks

    def ask(self, order: Claimed) -> None:
        """The order's node is being reached; another one than before, where the claim names another now."""
        earlier = self._asked.get(order.order_id)
        if earlier is not None and earlier.node == order.node:
            return
        self.drop(order.order_id)
        self._asked[order.order_id] = order
        self._tasks[order.order_id] = asyncio.create_task(self._reach(order))

    def drop(self, order_id: UUID) -> None:
        """Nobody wants to know any more. Repeat: safe."""
        task = self._tasks.pop(order_id, None)
        if task is not None:
            task.cancel()
            self._forget(order_id)

    def forget(self) -> None:
        """Nothing is being reached any more."""
        for order_id in list(self._tasks):
            self.drop(order_id)

    def press(self, now: float) -> None:
        """Who has to give way to somebody's first attempt does."""
        while (order_id := self.slots.giving_way(now)) is not None:
            self._end(order_id, _offline("Others were to be reached first."))

    async def close(self, patience_seconds: float) -> bool:
        """Nothing is begun any more; False where a thread is still at work after so long."""
        self.forget()
        return await self._hands.close(patience_seconds)

    async def _reach(self, order: Claimed) -> None:
        try:
            outcome = await self._reached(order)
        except NodeUnavailable:
            outcome = None
        except LightningError as error:
            outcome = _offline(str(error))
        except Exception:
            log.exception("order=%s its node could not be reached", order.order_id)
            outcome = _offline("The peer could not be reached.")
        if self._tasks.get(order.order_id) is asyncio.current_task():
            self._end(order.order_id, outcome)

    async def _reached(self, order: Claimed) -> Outcome:
        """Raises: NodeUnavailable."""
        node = order.node
        if await self._connected.there(node.pubkey):
            return None
        host = node.host or await self._hands.do(_known_host, node.pubkey, order.failed_openings)
        if not host:
            return _offline("The peer is not connected and we know no address.")
        await self._turn(order)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS + CONNECT_SECONDS):
                await self._dialled(order, host)
                while not await self._connected.there(node.pubkey):
                    await asyncio.sleep(_LISTED_PAUSE_SECONDS)
        except TimeoutError:
            return _offline("The peer was not reached in time.")
        except PeerOffline as error:
            return error
        except NodeUnavailable:
            raise
        except LightningError as error:  # any text of a dialler: what counts is whether the peer is there
            if not await self._connected.there(node.pubkey):
                return _offline(str(error))
        return None

    async def _dialled(self, order: Claimed, host: str) -> None:
        """The node has dialled. Raises: LightningError."""
        most = MOST_LOOKUPS if order.failed_openings == 0 else MOST_LOOKUPS // 2
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.wrap_future(dialling.begin(host, most=most))
        except TimeoutError:
            raise dialling.too_late(host) from None
        address = NodeAddress(order.node.pubkey, found)
        dial = await self._hands.do(lightning.node().begin_dialling, address, timeout_seconds=CONNECT_SECONDS)
        try:
            await asyncio.wrap_future(dial)
        except LightningError as error:
            if error.reason != "already_connected":
                raise

    async def _turn(self, order: Claimed) -> None:
        asking = Asking(order.order_id, order.node.pubkey, order.client_hash, order.failed_openings == 0)
        self._turns[order.order_id] = asyncio.Event()
        if not self.slots.ask(asking):
            self.press(_now())
            await self._turns[order.order_id].wait()
        self.slots.interruptible(order.order_id, _now())

    def _end(self, order_id: UUID, outcome: Outcome) -> None:
        order = self._asked[order_id]
        self.drop(order_id)
        self._ended(order_id, order.node, order.failed_openings == 0, outcome)

    def _forget(self, order_id: UUID) -> None:
        self._asked.pop(order_id, None)
        self._turns.pop(order_id, None)
        self.slots.left(order_id)
        while (asking := self.slots.next()) is not None:
            self._turns[asking.order_id].set()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _offline(why: str) -> PeerOffline:
    return PeerOffline(why, reason="PEER_NOT_REACHABLE")


def _known_host(pubkey: str, tries: int) -> str:
    return finding.known_host(pubkey, lightning.node(), tries=tries)
