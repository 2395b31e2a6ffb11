"""A claimed order's node is reached once, and not at all where our node has told that it is there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from lightning.types import NodeAddress, PeerEvent
from orders.admission.standing import Standing
from orders.openings.turns import Elsewhere
from orders.queries import Claimed
from streams import lanes
from streams.connected import Connected
from streams.hands import Hands
from streams.jobs import Rank, Waiting
from streams.lanes import Lanes, LaneTurn
from streams.slots import Asking
from streams.together import end
from tests.streams.conftest import FakeLnd, Running

PUBKEY = "02" + "ab" * 32
OTHER = "03" + "cd" * 32


class Lane:
    """One order's looks: each asks to wait for the peer, and takes its time where it may not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks: list[object] = []
        monkeypatch.setattr(lanes, "advance_if_due", self._look)
        monkeypatch.setattr(lanes, "_claimed", lambda order: order)

    def run(self, told: Callable[[Connected], object], *, looks: int) -> None:
        asyncio.run(self._main(told, looks))

    async def _main(self, told: Callable[[Connected], object], looks: int) -> None:
        hands = Hands()
        connected = Connected()
        self._lanes = Lanes(threads=2, openings=4, hands=hands, connected=connected, ended=lambda: None)
        told(connected)
        self._order = Claimed(uuid4(), NodeAddress(PUBKEY, ""), "", 0, False)
        self._lanes.jobs.add(self._order.order_id, Rank.NEWS)
        async with asyncio.timeout(20):
            while len(self.looks) < looks or len(self._lanes.jobs.orders):
                await asyncio.sleep(0.01)
        assert await self._lanes.close(10) and await hands.close(10)

    def _look(self, order_id: UUID, turn: LaneTurn) -> bool:
        order: Any = self._order
        try:
            turn.enter(order, None)  # type: ignore[arg-type]
            self.looks.append("may wait")
        except Elsewhere:
            while order_id in self._lanes.dials:
                time.sleep(0.01)
            self.looks.append("elsewhere")
        return True


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch, lnd: FakeLnd) -> Lane:
    return Lane(monkeypatch)


def test_who_was_reached_while_the_look_that_asked_for_it_still_ran_is_not_asked_for_again(
    lane: Lane, lnd: FakeLnd
) -> None:
    lnd.connected = [PUBKEY]
    lane.run(lambda connected: None, looks=2)
    assert lane.looks == ["elsewhere", "may wait"]
    assert lnd.story.count("peers") == 1


def test_whoever_our_node_has_told_of_is_waited_for_by_the_first_look(lane: Lane, lnd: FakeLnd) -> None:
    lane.run(lambda connected: connected.told(PeerEvent(PUBKEY, online=True)), looks=1)
    assert lane.looks == ["may wait"]
    assert "peers" not in lnd.story


def test_who_has_gone_since_is_asked_about(lane: Lane, lnd: FakeLnd) -> None:
    def told(connected: Connected) -> None:
        for pubkey, online in ((PUBKEY, True), (OTHER, True), (PUBKEY, False)):
            connected.told(PeerEvent(pubkey, online=online))

    lnd.connected = [PUBKEY]
    lane.run(told, looks=2)
    assert lane.looks == ["elsewhere", "may wait"]
    assert "peers" in lnd.story


def test_the_list_corrects_what_events_have_told(lnd: FakeLnd) -> None:
    async def main() -> tuple[bool, bool]:
        connected = Connected()
        connected.told(PeerEvent(OTHER, online=True))
        await connected.compare()
        has = connected.has(PUBKEY), connected.has(OTHER)
        connected.forget()
        assert not connected.has(PUBKEY)
        assert await connected.close(10)
        return has

    lnd.connected = [PUBKEY]
    assert asyncio.run(main()) == (True, False)


NEW, SECOND, SUSPECT = Standing("new", 0, False), Standing("second", 1, False), Standing("suspect", 0, True)


@pytest.mark.parametrize(
    ("late", "soon", "is_overtaken"),
    [(SUSPECT, NEW, True), (SECOND, NEW, True), (NEW, SECOND, False), (NEW, NEW, False), (None, None, False)],
)
def test_who_has_paid_for_nothing_or_for_more_lately_is_looked_at_after_who_came_later(
    late: Standing | None, soon: Standing | None, is_overtaken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have just paid. Control: of two alike neither goes before the other."""
    standing_of = {"late": late, "soon": soon}
    order_ids = {name: uuid4() for name in ("running", "late", "soon")}
    names, looks, go_on = {order_id: name for name, order_id in order_ids.items()}, list[str](), threading.Event()

    def look(order_id: UUID, turn: LaneTurn) -> bool:
        looks.append(names[order_id])
        return names[order_id] != "running" or go_on.wait(20)

    async def main() -> None:
        hands = Hands()
        line = Lanes(threads=1, openings=4, hands=hands, connected=Connected(), ended=lambda: None)
        running = asyncio.create_task(line.run())
        for number, name in enumerate(order_ids):
            line.add(order_ids[name])
            while len(looks) + len(line.jobs.orders) <= number:
                await asyncio.sleep(0.01)
        go_on.set()
        while len(looks) < len(order_ids):
            await asyncio.sleep(0.01)
        await end([running])
        assert await line.close(10) and await hands.close(10)

    monkeypatch.setattr(lanes, "advance_if_due", look)
    monkeypatch.setattr(lanes.queries, "claimed", lambda order_ids, now: [])
    known = {order_id: known for order_id, name in names.items() if (known := standing_of.get(name)) is not None}
    monkeypatch.setattr(lanes.standing, "of", lambda ids, now: {i: known[i] for i in ids if i in known})
    asyncio.run(asyncio.wait_for(main(), 30))
    assert looks == (["running", "soon", "late"] if is_overtaken else ["running", "late", "soon"])


def test_who_has_waited_for_a_peer_gives_his_connection_back_where_many_wait_and_a_short_look_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new connection takes as long as most of a look."""
    closed: list[int] = []
    monkeypatch.setattr(lanes, "connection", SimpleNamespace(close=lambda: closed.append(1)))
    monkeypatch.setattr(lanes, "advance_if_due", lambda *_: True)

    async def main() -> None:
        hands = Hands()
        line = Lanes(threads=0, openings=4, hands=hands, connected=Connected(), ended=lambda: None)
        assert line.slots.ask(Asking(uuid4(), PUBKEY, "", True))
        short, long = uuid4(), uuid4()
        line._look(short)
        line.jobs.orders._running[long] = Rank.FIRST
        line.jobs.orders.step_aside(long)
        assert not closed
        line._look(long)
        assert closed
        assert await hands.close(10)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("rank", "before", "seconds"),
    [(Rank.NEWS, 0, 10), (Rank.FIRST, 0, 10), (Rank.NEWS, 1, 2), (Rank.SUSPECT, 0, 2), (Rank.MONEY, 0, 0)],
)
def test_what_waits_for_others_of_its_client_s_stops_no_sales_as_soon(rank: Rank, before: int, seconds: float) -> None:
    """Else one who pays often, for nothing, would have nobody else buy."""

    async def main() -> float:
        hands, now = Hands(), 100.0
        line = Lanes(threads=1, openings=4, hands=hands, connected=Connected(), ended=lambda: None)
        line.jobs.orders = Waiting(at_once=1, clock=lambda: now)
        for _ in range(3):
            line.jobs.orders.add(uuid4(), rank, before)
        now = 110.0
        behind = line.behind_seconds
        assert await line.close(10) and await hands.close(10)
        return behind

    assert asyncio.run(main()) == seconds


def test_news_that_is_being_sorted_is_no_less_news_when_the_clock_finds_the_order_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else who has just paid waits behind all that every block looks at."""
    order_id, is_asked, go_on, ranks = uuid4(), threading.Event(), threading.Event(), list[Rank]()

    def claimed(order_ids: list[UUID], now: object) -> list[Claimed]:
        is_asked.set()
        assert go_on.wait(20)
        return []

    async def main() -> None:
        hands = Hands()
        line = Lanes(threads=1, openings=4, hands=hands, connected=Connected(), ended=lambda: None)
        monkeypatch.setattr(line.jobs, "add", lambda order_id, rank, before: ranks.append(rank))
        running = asyncio.create_task(line.run())
        line.add(order_id)
        await hands.do(is_asked.wait, 20)
        line.add(order_id, is_news=False)
        go_on.set()
        while not ranks or line._asked.is_set() or line._sorting:
            await asyncio.sleep(0.01)
        await end([running])
        assert await line.close(10) and await hands.close(10)

    monkeypatch.setattr(lanes.queries, "claimed", claimed)
    monkeypatch.setattr(lanes.standing, "of", lambda ids, now: {})
    asyncio.run(asyncio.wait_for(main(), 30))
    assert ranks == [Rank.NEWS]


def test_while_all_hands_are_full_peers_are_listed_all_the_same(streams: Running) -> None:
    """Strangers make us list peers: no hand that records payments does it, and so none is kept by that."""
    process, free = streams.process, threading.Event()

    async def compare() -> None:
        full = [asyncio.create_task(process._hands.do(free.wait, 20)) for _ in range(3)]
        try:
            async with asyncio.timeout(5):
                await process._node._connected.compare()
        finally:
            free.set()
            await asyncio.gather(*full)

    asyncio.run_coroutine_threadsafe(compare(), streams.loop).result(30)


def test_what_an_event_says_while_all_peers_are_listed_is_newer_than_the_list() -> None:
    async def main() -> bool:
        connected, asked, answered = Connected(), asyncio.Event(), asyncio.Event()

        async def listed() -> frozenset[str]:
            asked.set()
            await answered.wait()
            return frozenset({PUBKEY})

        connected._now = listed  # type: ignore[method-assign]
        comparing = asyncio.create_task(connected.compare())
        await asked.wait()
        connected.told(PeerEvent(PUBKEY, online=False))
        answered.set()
        await comparing
        return connected.has(PUBKEY)

    assert asyncio.run(main()) is False
