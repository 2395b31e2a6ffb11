"""A streams process inside the test's own, beside a node whose subscriptions say what the test puts in."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from lightning.errors import NodeUnavailable
from lightning.types import NodeInfo
from orders.models import ChannelOrder
from streams import standby
from streams.process import Process
from tests.regtest.waiting import until


class Running:
    """One streams process in a thread with an event loop of its own."""

    def __init__(self, threads: int = 4) -> None:
        self._threads = threads
        self._database = standby.database()
        self._begun = threading.Event()
        self.ended_in_order: bool | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._begun.wait(20)

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.process = Process(threads=self._threads, database=self._database)
        self._begun.set()
        self.ended_in_order = await self.process.run(self._stop)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
        assert not self._thread.is_alive()


def _done() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(None)
    return future


@contextmanager
def listening() -> Iterator[Running]:
    """A streams process beside a real node, or a simulated one, that listens to it."""
    begun = [Running()]
    try:
        until(lambda: begun[0].process._node.is_up, "the node is listened to")
        yield begun[0]
    finally:
        begun.pop().stop()


class FakeLnd:
    """Stands for `LndStreams`: one queue for each subscription that is alive."""

    def __init__(self) -> None:
        self.is_up = True
        #: What was subscribed, in order, and what else happened.
        self.story: list[str] = []
        #: What our macaroon may do, of what the node is asked about.
        self.rights = {"CheckMacaroonPermissions", "SendCustomMessage", "SubscribeCustomMessages"}
        #: The answers to peers, and what becomes of each.
        self.sent: list[tuple[str, bytes]] = []
        self.sending: Callable[[str], Future[Any]] = lambda pubkey: _done()
        self.disconnected: list[str] = []
        #: Who is connected; each listing is in the story as "peers".
        self.connected: list[str] = []
        self.features: set[int] = set()
        self.announced: list[tuple[int | None, tuple[str, ...]]] = []
        self._queues: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Any]]]] = defaultdict(list)

    def __call__(self, credentials: object) -> FakeLnd:
        return self

    def put(self, subscription: str, value: Any) -> None:
        """Every such subscription says it; an exception breaks it."""
        for loop, queue in list(self._queues[subscription]):
            loop.call_soon_threadsafe(queue.put_nowait, value)

    def break_down(self) -> None:
        self.is_up = False
        for subscription in list(self._queues):
            self.put(subscription, NodeUnavailable("gone"))

    def is_asked_for(self, subscription: str) -> bool:
        return bool(self._queues[subscription])

    async def _stream(self, subscription: str, *first: Any) -> AsyncIterator[Any]:
        self.story.append(subscription)
        if not self.is_up:
            raise NodeUnavailable("away")
        entry = (asyncio.get_running_loop(), asyncio.Queue[Any]())
        self._queues[subscription].append(entry)
        try:
            for value in first:
                yield value
            while (value := await entry[1].get()) is not None:
                if isinstance(value, Exception):
                    raise value
                yield value
        finally:
            self._queues[subscription].remove(entry)

    def require_active(self) -> None:
        if not self.is_up:
            raise NodeUnavailable("away")

    def newest_add_index(self) -> int:
        return 0

    def info(self) -> Any:
        self.require_active()
        return NodeInfo("02" + "ab" * 32, "", (), "", "regtest", 800, 0, True, 0, features=frozenset(self.features))

    def peers(self) -> list[Any]:
        self.story.append("peers")
        return [SimpleNamespace(pubkey=pubkey) for pubkey in self.connected]

    def disconnect(self, pubkey: str) -> None:
        self.disconnected.append(pubkey)

    def announce(self, *, feature_bit: int | None = None, addresses: Sequence[str] = ()) -> None:
        self.announced.append((feature_bit, tuple(addresses)))
        self.features |= {feature_bit} if feature_bit else set()

    def allows(self, method: str) -> bool:
        return method.rpartition("/")[2] in self.rights

    def begin_sending(self, pubkey: str, *, type: int, data: bytes, timeout_seconds: int) -> Future[Any]:
        assert type == 37_913
        self.sent.append((pubkey, data))
        return self.sending(pubkey)

    def custom_messages(self) -> AsyncIterator[Any]:
        return self._stream("custom_messages")

    def transactions(self) -> AsyncIterator[Any]:
        return self._stream("transactions")

    def channel_events(self) -> AsyncIterator[Any]:
        return self._stream("channel_events")

    def peer_events(self) -> AsyncIterator[Any]:
        return self._stream("peer_events")

    def blocks(self) -> AsyncIterator[Any]:
        return self._stream("blocks", 800)

    def invoice(self, payment_hash: str) -> AsyncIterator[Any]:
        return self._stream(payment_hash)

    async def close(self) -> None:
        self.story.append("closed")


class Looks:
    """Stands for `advance`: remembers, and leaves the order not due, as the real one does."""

    def __init__(self) -> None:
        self.seen: list[UUID] = []
        self.during: Callable[[UUID], object] = lambda order_id: None

    def __call__(self, order_id: UUID, **_: Any) -> bool:
        self.seen.append(order_id)
        ChannelOrder.objects.filter(pk=order_id).update(due_at=None)
        self.during(order_id)
        return True

    def wait(self, order: ChannelOrder, times: int = 1) -> None:
        until(lambda: self.seen.count(order.pk) >= times, f"the order is looked at {times} times", timeout=30)


@pytest.fixture
def lnd(monkeypatch: pytest.MonkeyPatch) -> FakeLnd:
    """The node's subscriptions; each look at the node is in its story as "look"."""
    fake = FakeLnd()
    monkeypatch.setattr("streams.node.LndStreams", fake)
    monkeypatch.setattr("lightning.connection.node", lambda: fake)
    monkeypatch.setattr("orders.reconcile.new_block", lambda node: fake.story.append("look"))
    return fake


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    recorded = Looks()
    monkeypatch.setattr("streams.jobs.advance", recorded)
    return recorded


@pytest.fixture
def start(transactional_db: None, lnd: FakeLnd, looks: Looks) -> Iterator[Callable[..., Running]]:
    """Starts streams processes that end with the test."""
    running: list[Running] = []

    def begin(**options: Any) -> Running:
        running.append(Running(**options))
        return running[-1]

    yield begin
    for each in running:
        each.stop()
    running.clear()
    gc.collect()  # the ended threads' connections to the database


@pytest.fixture
def streams(start: Callable[..., Running], lnd: FakeLnd) -> Running:
    """One that has looked at the node and listens."""
    running = start()
    until(lambda: "look" in lnd.story, "the node was looked at", timeout=30)
    return running
