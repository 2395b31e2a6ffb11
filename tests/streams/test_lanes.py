"""Closes whose peers say nothing: they stand in no other work's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from orders.openings.turns import Elsewhere, Turn
from streams import lanes
from streams.connected import Connected
from streams.hands import Hands
from streams.jobs import Rank
from streams.lanes import Lanes, LaneTurn
from tests.regtest.waiting import NeverHappened, until

THREADS, OPENINGS = 2, 8
#: As many as all the threads that there are, and some.
CLOSES = THREADS + 3 * OPENINGS
PLACES = OPENINGS // 4


class Lane:
    """Lanes in a thread with an event loop of its own, where each look closes a channel, or moves money."""

    def __init__(self) -> None:
        self.closes = [uuid4() for _ in range(CLOSES)]
        self.waiting: set[UUID] = set()
        self.done: set[UUID] = set()
        self.answers = {order_id: threading.Event() for order_id in self.closes}
        self._begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._begun.wait(20)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        hands = Hands()
        self.lanes = Lanes(threads=THREADS, openings=OPENINGS, hands=hands, connected=Connected(), ended=lambda: None)
        self._begun.set()
        await self._stop.wait()
        assert await self.lanes.close(10) and await hands.close(10)

    def look(self, order_id: UUID, turn: Turn) -> bool:
        if order_id in self.answers:
            order: Any = SimpleNamespace(
                pk=order_id, node_pubkey="02", node_host="", client_hash="", failed_openings=0, live_opening=None
            )
            try:
                turn.enter_to_close(order)
            except Elsewhere:
                return True
            self.waiting.add(order_id)
            self.answers[order_id].wait(20)
        self.done.add(order_id)
        return True

    def add(self, *order_ids: UUID) -> None:
        for order_id in order_ids:
            self._loop.call_soon_threadsafe(self.lanes.jobs.add, order_id, Rank.MONEY)

    def moves_money(self) -> bool:
        """Whether another order is looked at soon."""
        other = uuid4()
        self.add(other)
        try:
            until(lambda: other in self.done, "it is looked at", timeout=3)
        except NeverHappened:
            return False
        return True

    def stop(self) -> None:
        for answer in self.answers.values():
            answer.set()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    started = Lane()
    monkeypatch.setattr(lanes, "advance_if_due", started.look)
    yield started
    started.stop()


def test_however_many_closes_have_silent_peers_few_wait_for_them_and_money_for_none(lane: Lane) -> None:
    lane.add(*lane.closes)
    until(lambda: len(lane.waiting) == PLACES, "as many as may wait do")
    assert lane.moves_money()
    assert len(lane.waiting) == PLACES
    assert not len(lane.lanes.slots)  # openings have all their places


def test_control_closes_without_a_bound_keep_every_thread(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneTurn, "enter_to_close", LaneTurn.enter_to_end)
    lane.add(*lane.closes)
    until(lambda: len(lane.waiting) >= THREADS + 2 * OPENINGS, "all threads wait for peers")
    assert not lane.moves_money()


def test_each_close_has_its_turn_when_another_one_ends(lane: Lane) -> None:
    lane.add(*lane.closes)
    for number in range(1, CLOSES + 1):
        until(lambda: bool(lane.waiting - lane.done), "one waits for its peer")
        lane.answers[next(iter(lane.waiting - lane.done))].set()
        until(lambda number=number: len(lane.done) == number, "it ends")  # type: ignore[misc]
    assert lane.done == set(lane.closes)
