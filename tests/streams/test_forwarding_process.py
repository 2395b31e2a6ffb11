"""When the streams process answers LND about others' payments, what it says of that, and who gives way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import connection

from lightning.errors import NodeUnavailable
from lightning.parts import Answer, Circuit, Intercepted
from lightning.rights import NEEDS, Feature
from orders.models import Heartbeat
from tests.regtest.waiting import until
from tests.streams.conftest import FakeLnd, Running
from tests.streams.test_undecided import part_of


class Stream:
    """What LND asks, as far as the process knows; it lasts until it is closed."""

    def __init__(self) -> None:
        self.is_open = True
        self.told: list[Circuit] = []
        self._parts: SimpleQueue[Intercepted | None] = SimpleQueue()

    def __iter__(self) -> Iterator[Intercepted]:
        while (part := self._parts.get()) is not None:
            yield part
        raise NodeUnavailable("ended")

    def offer(self, part: Intercepted) -> None:
        self._parts.put(part)

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        self.told.append(circuit)
        return True

    def block_came(self, height: int) -> None:
        pass

    lasts_seconds = 60.0

    def close(self) -> None:
        self.is_open = False
        self._parts.put(None)


class Apart:
    """In place of the other process."""

    passed = 0

    def __init__(self, streams: list[Stream]) -> None:
        self._streams, self._own = streams, []  # type: ignore[var-annotated]

    def open(self, height: int) -> Stream:
        self._own.append(Stream())
        self._streams.append(self._own[-1])
        return self._own[-1]

    def end(self) -> None:
        for stream in self._own:
            stream.close()


@dataclass
class Able:
    """A node that can be used for it, or not."""

    lnd: FakeLnd
    streams: list[Stream] = field(default_factory=list)
    configuration: dict[str, str] = field(default_factory=dict)

    def begin(self) -> Apart:
        return Apart(self.streams)


@pytest.fixture
def able(lnd: FakeLnd, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Able:
    settings.LSPS2_ENABLED = settings.LSPS2_ON_OLD_LND = True
    made = Able(lnd, configuration={"requireinterceptor": "true", "bitcoin.timelockdelta": "80"})
    lnd.rights |= {method.rpartition("/")[2] for method in NEEDS[Feature.JIT]}
    lnd.features = {46, 50}
    monkeypatch.setattr("streams.forwarding.Apart", lambda credentials: made.begin())
    monkeypatch.setattr(lnd, "configuration", lambda: made.configuration, raising=False)
    monkeypatch.setattr("streams.process._BEAT_SECONDS", 0.2)
    monkeypatch.setattr("streams.forwarding._AGAIN_SECONDS", 0.2)
    return made


def has_said_so() -> bool:
    return Heartbeat.objects.filter(name="forwarding").exists()


def test_where_it_is_on_and_the_node_can_the_process_listens_and_says_so(able: Able, streams: Running) -> None:
    until(has_said_so, "it has said so", timeout=10)
    able.streams[0].offer(part_of(1, 16_060_000 << 40))
    until(lambda: able.streams[0].told == [Circuit(1, 1)], "it was answered", timeout=5)
    assert len(able.streams) == 1


def test_where_it_is_off_nobody_listens_nor_is_missed(able: Able, settings: Any, start: Callable[..., Running]) -> None:
    settings.LSPS2_ENABLED = False
    Heartbeat.objects.create(name="forwarding", at="2026-01-01T00:00:00Z")
    start()
    until(lambda: not has_said_so(), "nobody misses it", timeout=10)
    assert not able.streams


def test_a_node_that_lacks_something_is_listened_to_and_nothing_is_said_of_it(
    able: Able, start: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    """What was sold before is still decided about."""
    able.configuration["requireinterceptor"] = "false"
    start()
    until(lambda: able.streams, "it listens", timeout=10)
    until(lambda: "requireinterceptor" in caplog.text, "it is logged", timeout=5)
    threading.Event().wait(1.5)
    assert not has_said_so()


def test_a_macaroon_that_takes_no_number_back_stops_nobody_s_payment(
    able: Able, start: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    """As one may that was baked for an earlier version: LND forwards nothing that nobody has answered."""
    able.lnd.rights.remove("XDeleteLocalChanAliases")
    running = start()
    until(lambda: able.streams, "it listens", timeout=10)
    able.streams[0].offer(part_of(1, 16_060_000 << 40))
    until(lambda: able.streams[0].told == [Circuit(1, 1)], "it was answered", timeout=5)
    until(lambda: running.process._forwarding.is_off, "none is sold", timeout=10)
    assert "XDeleteLocalChanAliases" in caplog.text


@pytest.mark.parametrize("right", ["HtlcInterceptor", "XAddLocalChanAliases", "ForwardingHistory"])
def test_where_the_macaroon_does_not_allow_it_nobody_listens(
    right: str, able: Able, start: Callable[..., Running]
) -> None:
    """Who opened a channel for a payment that he cannot pass on would be paid nothing for it."""
    able.lnd.rights.remove(right)
    running = start()
    until(lambda: running.process._forwarding.is_off, "it is known to be off", timeout=10)
    assert not able.streams


def holder() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 5002064 AND objid = 1")
        return int(cursor.fetchone()[0])


def test_the_process_listens_on_while_it_has_lost_the_database(able: Able, streams: Running) -> None:
    until(lambda: able.streams, "it listens", timeout=10)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [holder()])
    until(lambda: able.lnd.story.count("look") > 1, "it is at work again", timeout=20)
    assert len(able.streams) == 1 and able.streams[0].is_open


def test_a_lock_that_our_own_dead_connection_still_holds_is_no_reason_to_give_way(able: Able, streams: Running) -> None:
    until(lambda: able.streams, "it listens", timeout=10)
    process = streams.process
    process._taken(process._our_server_process)
    assert able.streams[0].is_open
    process._taken(process._our_server_process + 1)
    assert not able.streams[0].is_open


def test_who_finds_another_at_work_gives_way(able: Able, streams: Running, start: Callable[..., Running]) -> None:
    until(lambda: able.streams, "it listens", timeout=10)
    second = start()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [holder()])
    until(lambda: len(able.streams) > 1, "one of them listens anew", timeout=20)
    until(lambda: sum(each.is_open for each in able.streams) == 1, "one alone listens", timeout=10)
    at_work = second if second.process._our_server_process == holder() else streams
    until(lambda: at_work.process._forwarding._line.is_up, "it is the one at work", timeout=10)


def test_a_process_that_ends_listens_no_more(able: Able, start: Callable[..., Running]) -> None:
    running = start()
    until(lambda: able.streams, "it listens", timeout=10)
    running.stop()
    assert not able.streams[0].is_open
