"""What others pay passes by the streams process: it waits for nothing that we do, and what is ours is decided."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import django.db
import pytest

from lightning.credentials import Credentials
from lightning.node import LndNode
from lightning.parts import FAIL, NO_CHANNEL, Answer, Intercepted, resume_with
from streams import undecided
from streams.apart import Apart
from streams.forwarding import Line
from streams.undecided import Undecided
from tests.contract.interceptor import intercepting
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork, SimulatedNode, SimulatedPayment

AMOUNT_MSAT = 1_000_000
scids = count(16_050_007 << 40, 1 << 16)


class Domain:
    """Has promised one channel; decides when a test says so, and remembers which threads asked it."""

    def __init__(self) -> None:
        self.ours = next(scids)
        self.asked: list[tuple[Intercepted, Callable[[Answer], bool]]] = []
        self.lost_parts: list[Intercepted] = []
        self.threads: set[str] = set()
        self.database_is_there = threading.Event()
        self.database_is_there.set()
        self.database_fails = False
        self.streams_that_ended = 0
        self.knows_ours = False
        self.decides: Callable[[Callable[[Answer], bool]], object] = lambda answer: None

    def _ask(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.database_is_there.wait(20)
        if self.database_fails:
            raise django.db.OperationalError("gone")

    def is_ours(self, scid: int) -> bool:
        self._ask()
        return scid == self.ours

    def decide(self, part: Intercepted, answer: Callable[[Answer], bool]) -> None:
        self._ask()
        self.asked.append((part, answer))
        self.decides(answer)

    def went_on(self) -> set[int]:
        self._ask()
        return {self.ours} if self.knows_ours else set()

    def ended(self) -> None:
        self.streams_that_ended += 1

    def lost(self, part: Intercepted) -> None:
        self._ask()
        self.lost_parts.append(part)

    def wait(self, number: int = 0) -> tuple[Intercepted, Callable[[Answer], bool]]:
        until(lambda: len(self.asked) > number, "it is asked to decide", timeout=10)
        return self.asked[number]


@dataclass
class Passage:
    """A node that asks us, two customers, and us."""

    node: SimulatedNode
    domain: Domain
    undecided: Undecided
    line: Line
    lnd: LndNode
    point: str

    @property
    def ours(self) -> int:
        return self.domain.ours

    def pay(self, scid: int, **options: Any) -> SimulatedPayment:
        asked = self.node.control.ask_for_payment("client", AMOUNT_MSAT, scid=scid, base_msat=2_000, cltv_blocks=90)
        return SimulatedPayment(self.node, self.node.control.pay(asked, payer="payer", **options).id)

    def scid(self) -> int:
        [known_as] = [each.chan_id for each in self.node.channels() if each.channel_point == self.point]
        return int(known_as)


@pytest.fixture(scope="module")
def asking() -> Iterator[tuple[SimulatedNode, str]]:
    """A node with a channel to a payer, and one to a client."""
    with SimulatedNetwork() as network:
        node = network.add_node("--requireinterceptor", funded_sat=10**8)
        node.control.open_channel("payer", 10**8)
        point = node.control.open_channel("client", 10**8, by_us=True)
        node.control.mine(6)
        yield node, point


@contextmanager
def passing(node: SimulatedNode, point: str, domain: Domain) -> Iterator[Passage]:
    credentials = Credentials(node.grpc_address, str(node.tls_certificate), str(node.admin_macaroon), "regtest")
    waiting = Undecided(domain)
    lnd = LndNode(credentials)
    line = Line(lambda: Apart(lambda: credentials), waiting)
    line.start()
    until(lambda: line.is_up, "the node asks us", timeout=20)
    ticking = threading.Event()

    def tick() -> None:
        while not ticking.wait(0.05):
            waiting.tick()

    threading.Thread(target=tick, daemon=True).start()
    try:
        yield Passage(node, domain, waiting, line, lnd, point)
    finally:
        domain.database_is_there.set()
        line.stop()
        ticking.set()
        waiting._threads.shutdown(cancel_futures=True)


@pytest.fixture
def passage(asking: tuple[SimulatedNode, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Passage]:
    monkeypatch.setattr("streams.forwarding._WELL_SECONDS", 0.2)
    with passing(*asking, Domain()) as made:
        yield made


def test_what_goes_over_a_channel_that_there_is_asks_nobody(passage: Passage) -> None:
    assert passage.pay(passage.scid()).wait() == SUCCEEDED
    assert passage.pay(NO_CHANNEL).wait() == SUCCEEDED  # by the node's key
    until(lambda: passage.line.passed == 2, "it is told", timeout=10)
    assert not passage.domain.threads


def test_while_the_database_hangs_what_is_not_ours_goes_on(passage: Passage) -> None:
    passage.domain.database_is_there.clear()
    stuck = [passage.pay(passage.ours) for _ in range(2 * undecided._THREADS)]
    assert [passage.pay(passage.scid()).wait(timeout=5) for _ in range(10)] == [SUCCEEDED] * 10
    assert {each.status() for each in stuck} == {IN_FLIGHT}


def test_what_nobody_can_say_is_ours_is_let_go_before_long(passage: Passage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "_PATIENCE_SECONDS", 0.3)
    passage.domain.database_is_there.clear()
    assert passage.pay(next(scids)).wait(timeout=5) == FAILED
    passage.domain.database_is_there.set()


def test_what_was_found_to_be_ours_waits_for_the_database(passage: Passage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "_PATIENCE_SECONDS", 0.3)
    first = passage.pay(passage.ours)
    passage.domain.wait()[1](FAIL)
    assert first.wait() == FAILED
    passage.domain.database_fails = True
    second = passage.pay(passage.ours)
    threading.Event().wait(0.6)
    assert second.status() == IN_FLIGHT
    passage.domain.database_fails = False
    passage.domain.wait(1)[1](FAIL)
    assert second.wait() == FAILED


def test_what_is_in_the_range_and_not_ours_goes_on(passage: Passage) -> None:
    assert passage.pay(next(scids)).wait() == FAILED  # there is no such channel
    assert not passage.domain.asked


def test_what_is_ours_is_decided_by_others_in_whatever_order(passage: Passage) -> None:
    payments = [passage.pay(passage.ours) for _ in range(3)]
    answers = [passage.domain.wait(number) for number in range(3)]
    for _, answer in reversed(answers):
        assert answer(FAIL) and not answer(FAIL)
    assert [each.wait() for each in payments] == [FAILED] * 3
    assert not any(name == "forwarding" for name in passage.domain.threads)


def test_what_is_ours_goes_on_with_less_over_the_channel_that_was_promised(passage: Passage) -> None:
    passage.node.control.change_customer("client", takes_less=True)
    payment = passage.pay(passage.ours)
    part, answer = passage.domain.wait()
    passage.lnd.add_alias(passage.scid(), passage.ours)
    answer(resume_with(part.incoming_msat - 50_000, fee_msat=48_000))
    assert payment.wait() == SUCCEEDED
    told = passage.node.control.parts().parts[-1]
    assert (told.passed_msat, told.told_fee_msat) == (part.incoming_msat - 50_000, 48_000)


def test_a_node_that_comes_back_asks_once_more_and_old_answers_count_for_nothing(passage: Passage) -> None:
    payment = passage.pay(passage.ours)
    part, answer = passage.domain.wait()
    passage.node.kill()
    until(lambda: not passage.line.is_up, "the node is gone", timeout=10)
    assert answer(FAIL) is False
    passage.node.start()
    again, answer_again = passage.domain.wait(1)
    assert again == part and payment.status() == IN_FLIGHT
    assert answer(FAIL) is False and answer_again(FAIL)
    assert payment.wait() == FAILED


def test_what_waited_for_a_stream_that_has_ended_is_not_let_go_but_decided_when_it_comes_again(
    passage: Passage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undecided, "_PATIENCE_SECONDS", 1.0)
    passage.domain.database_is_there.clear()
    payment = passage.pay(passage.ours)
    until(lambda: "undecided=1" in passage.undecided.detail(), "it waits", timeout=5)
    passage.node.kill()
    until(lambda: not passage.line.is_up, "the node is gone", timeout=10)
    threading.Event().wait(1.5)
    passage.domain.database_is_there.set()
    passage.node.start()
    passage.domain.wait()[1](FAIL)
    assert payment.wait() == FAILED


def test_after_a_stream_that_was_well_the_next_begins_at_once(
    passage: Passage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.forwarding._PAUSES_SECONDS", (60.0,))
    stream, apart = passage.line._stream, passage.line._apart
    ended = passage.domain.streams_that_ended
    assert stream is not None and apart is not None and apart._process is not None
    apart._process.kill()
    until(lambda: passage.line._stream is not stream and passage.line.is_up, "another stream", timeout=20)
    assert passage.domain.streams_that_ended == ended + 1
    assert passage.pay(passage.scid()).wait() == SUCCEEDED


def test_who_comes_while_another_is_asked_waits_for_his_turn(
    passage: Passage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    second = Line(passage.line._begin, Undecided(Domain()))
    second.start()
    try:
        until(lambda: "interceptor already exists" in caplog.text, "it is told so", timeout=5)
        assert not second.is_up and passage.line.is_up
        passage.line.stop()
        until(lambda: second.is_up, "it is its turn", timeout=10)
    finally:
        second.stop()


def comes_back_unheard(passage: Passage) -> None:
    """A part that goes on and comes back; between the two nobody is there to be asked about it, and the node asks."""
    passage.node.control.change_customer("client", takes="holds")
    payment = passage.pay(passage.scid())
    until(lambda: parts(passage).parts[-1].out == IN_FLIGHT, "the client holds it", timeout=10)
    passage.line.stop()
    passage.node.control.change_customer("payer", presence="offline")
    passage.node.control.change_customer("payer", presence="online")
    passage.node.control.change_customer("client", takes="fails")
    assert payment.wait() == FAILED
    passage.node.control.change_customer("client", takes="settles")


def parts(passage: Passage) -> Any:
    return passage.node.control.parts()


def test_what_came_back_while_nobody_was_asked_does_not_go_on_once_more(passage: Passage) -> None:
    comes_back_unheard(passage)
    before_msat, passed = parts(passage).lost_msat, passage.line.passed
    passage.line.start()
    until(lambda: passage.line.passed > passed, "it is asked about", timeout=20)
    assert passage.pay(passage.scid()).wait() == SUCCEEDED  # after it, and in its first second
    assert parts(passage).lost_msat == before_msat


def test_control_were_it_let_go_it_would(passage: Passage) -> None:
    comes_back_unheard(passage)
    before_msat = parts(passage).lost_msat
    with intercepting(passage.lnd) as asked:
        asked.answer(asked.part(of=lambda part: part.scid == passage.scid()))
        until(lambda: parts(passage).lost_msat > before_msat, "it went on once more", timeout=10)


def test_what_no_node_takes_any_more_is_let_go(passage: Passage) -> None:
    payment = passage.pay(passage.ours)
    part, answer = passage.domain.wait()
    passage.undecided.block_came(part.outgoing_expiry - 1)
    assert payment.status() == IN_FLIGHT
    passage.undecided.block_came(part.outgoing_expiry)
    assert payment.wait() == FAILED  # there is no such channel
    assert answer(FAIL) is False


def test_what_comes_by_a_channel_that_is_closed_by_force_is_lost(passage: Passage) -> None:
    point = passage.node.control.open_channel("another", 10**7)
    passage.node.control.mine(1)
    passage.pay(passage.ours, over=[point])
    part, answer = passage.domain.wait()
    passage.node.control.close_channel(point, "REMOTE_FORCE_CLOSE")
    until(lambda: passage.domain.lost_parts, "it is told", timeout=10)
    assert [each.circuit for each in passage.domain.lost_parts] == [part.circuit]
    assert answer(FAIL) is False and passage.line.is_up
