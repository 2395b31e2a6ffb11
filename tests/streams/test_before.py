"""What LND may have asked about before is let go where its channels show that it has not gone on; else it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lightning.credentials import Credentials
from lightning.errors import NodeUnavailable
from lightning.parts import FAIL, RESUME, Answer, Circuit, Intercepted
from lightning.types import Htlc
from streams import apart, before
from streams.apart import Asked
from streams.before import DOUBT_BLOCKS, Before
from tests.integration.test_lsps5 import channel
from tests.regtest.waiting import NeverHappened, until

CHANNEL = 7
PART = Intercepted(Circuit(CHANNEL, 1), "ab" * 32, 1_000, 900, 1_000, 800, 5, 881)


def half(index: int, *, out: int = 0, locked_in: bool = True) -> Htlc:
    return Htlc(
        incoming=True, amount_sat=1, payment_hash="ab" * 32, expiry_height=900, index=index, other_channel=out,
        other_index=0, locked_in=locked_in,
    )  # fmt: skip


class Node:
    """What its channel shows, and what it was told."""

    def __init__(self, *halves: Htlc, **names: Any) -> None:
        self.halves: Sequence[Htlc] = halves
        self.names = {"short_channel_id": CHANNEL} | names
        self.told: list[tuple[Circuit, Answer]] = []
        self.looks = 0
        self.is_away = False

    def channels(self) -> list[Any]:
        self.looks += 1
        if self.is_away:
            raise NodeUnavailable("away")
        return [channel(htlcs=tuple(self.halves), **self.names)]

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        self.told.append((circuit, answer))
        return True


Asks = Callable[..., Before]


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asks]:
    """The node asks about PART, of which nobody knows anything; it is let go."""
    monkeypatch.setattr(before, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(before, "_SOON_SECONDS", 0.01)
    monkeypatch.setattr(before, "_SHOWS_SECONDS", 0.2)
    made = []

    def ask(node: Node, *, now: Sequence[Htlc], height: int = 0, is_away: bool = False) -> Before:
        first = Before(node.channels, node.answer, height)
        made.append(first)
        node.halves, node.is_away = now, is_away
        first.meet(PART)
        assert first.let_go(PART.circuit)
        return first

    yield ask
    for each in made:
        each.close()


def has_looked(node: Node) -> None:
    """At least once, since now."""
    looks = node.looks
    until(lambda: node.looks > looks + 1, "it was looked at", timeout=5)


def is_kept(node: Node, first: Before) -> bool:
    until(lambda: all(kept.went_on for kept in first._all()), "it was looked at", timeout=5)
    return not node.told


@pytest.mark.parametrize("now", [[half(1, out=9)], []], ids=["it is on its way", "it came back"])
def test_nothing_is_said_of_what_went_on(asks: Asks, now: list[Htlc]) -> None:
    node = Node(half(1))
    assert is_kept(node, asks(node, now=now))


def test_nor_of_what_came_back_before_we_looked(asks: Asks) -> None:
    node = Node()
    assert is_kept(node, asks(node, now=[]))


def test_what_came_since_is_let_go(asks: Asks) -> None:
    asks(node := Node(), now=[half(1)])
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_lnd_has_not_written_down_yet_is_waited_for(asks: Asks) -> None:
    first = asks(node := Node(), now=[])
    has_looked(node)
    assert not node.told and not first._all()[0].went_on
    node.halves = [half(1)]
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_has_not_gone_on_in_all_that_time_is_failed_and_not_before(
    asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have let it go a moment ago; or its payer has it back, and does not say so."""
    asks(node := Node(half(1)), now=[half(1)])
    has_looked(node)
    assert not node.told
    monkeypatch.setattr(before, "_GIVEN_UP_SECONDS", 0.0)
    until(lambda: node.told == [(PART.circuit, FAIL)], "it is failed", timeout=5)


def test_but_not_what_has_gone_on_meanwhile(asks: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asks(node := Node(half(1)), now=[half(1)])
    has_looked(node)
    node.halves = [half(1, out=9)]
    assert is_kept(node, first)
    monkeypatch.setattr(before, "_GIVEN_UP_SECONDS", 0.0)
    first._something.set()
    threads_turn(node)
    assert not node.told


def threads_turn(node: Node) -> None:
    """Nothing is looked at any more."""
    looks = node.looks
    with pytest.raises(NeverHappened):
        until(lambda: node.looks > looks, "another look", timeout=0.2)


@pytest.mark.parametrize(
    ("height", "is_let_go"), [(799, False), (800, True)], ids=["before it runs out where it goes", "as it does"]
)
def test_what_runs_out_is_let_go_for_nothing_goes_on_then(asks: Asks, height: int, is_let_go: bool) -> None:
    first = asks(node := Node(half(1)), now=[half(1, out=9)])
    assert is_kept(node, first)
    first.block_came(height)
    assert node.told == [(PART.circuit, RESUME)] * is_let_go


def test_or_is_about_to_be_failed_by_lnd() -> None:
    part = replace(PART, outgoing_expiry=899)
    assert not before.is_late(part, 881 - DOUBT_BLOCKS - 1) and before.is_late(part, 881 - DOUBT_BLOCKS)


def test_what_has_run_out_by_then_is_let_go_at_once(asks: Asks) -> None:
    asks(node := Node(half(1)), now=[half(1, out=9)], height=800)
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_came_since_is_let_go_of_a_channel_that_an_alias_names(asks: Asks) -> None:
    node = Node(zero_conf=True, alias=CHANNEL, short_channel_id=8)
    asks(node, now=[half(1)])
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_was_not_locked_in_before_nobody_was_asked_about(asks: Asks) -> None:
    asks(node := Node(half(1, locked_in=False)), now=[half(1)])
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_is_not_locked_in_any_more_is_on_its_way_out(asks: Asks) -> None:
    first = asks(node := Node(half(1, locked_in=False)), now=[half(1, locked_in=False)])
    has_looked(node)
    assert not node.told
    node.halves = []
    assert is_kept(node, first)


@pytest.mark.parametrize("out", [9, 0], ids=["it is on its way", "it came back"])
def test_what_was_let_go_here_and_is_asked_about_once_more_is_not_new(asks: Asks, out: int) -> None:
    first = asks(node := Node(), now=[half(1)])
    until(lambda: node.told, "it is let go", timeout=5)
    node.halves, node.looks = [half(1, out=out)], 0
    first.meet(PART)
    assert first.let_go(PART.circuit)
    until(lambda: node.looks, "it was looked at", timeout=5)
    time.sleep(0.05)
    assert node.told == [(PART.circuit, RESUME)]


def test_while_the_channels_are_not_told_nothing_is_said_and_afterwards_it_is(asks: Asks) -> None:
    """What the first look has not seen may have come back before it, and another process may have let it go since."""
    first = asks(node := Node(), now=[half(1)], is_away=True)
    has_looked(node)
    assert not node.told and not first._all()[0].went_on
    node.is_away = False
    until(lambda: node.told == [(PART.circuit, RESUME)], "it is let go", timeout=5)


def test_what_was_failed_and_ended_the_stream_is_not_failed_once_more(
    asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before, "_GIVEN_UP_SECONDS", 0.0)
    failed: set[Circuit] = set()
    for told in ([(PART.circuit, FAIL)], []):
        node = Node(half(1))
        first = Before(node.channels, node.answer, 0, failed)
        first.meet(PART)
        first.let_go(PART.circuit)
        until(lambda: node.told or any(kept.went_on for kept in first._all()), "it is decided", timeout=5)  # noqa: B023
        assert node.told == told
        first.close()


@pytest.mark.parametrize(
    ("at", "are_first"),
    [
        ([0, 0.5], [True, True]),  # within the first second
        ([0, 0.9, 1.09, 1.28], [True] * 4),  # one after the other, however long that takes
        ([0, 0.9, 1.15], [True, True, False]),  # after a pause
        ([0, 0.9, 1.15, 1.15], [True, True, False, False]),
        ([0.19 * each for each in range(159)], [True] * 158 + [False]),  # LND does not take that long
    ],
)
def test_the_first_are_those_before_the_first_pause(
    monkeypatch: pytest.MonkeyPatch, at: list[float], are_first: list[bool]
) -> None:
    monkeypatch.setattr(Before, "_begin", lambda self: None)
    first = Before((node := Node()).channels, node.answer)
    for number, seconds in enumerate(at):
        monkeypatch.setattr(before, "monotonic", lambda seconds=seconds: 100 + seconds)
        first.meet(replace(PART, circuit=Circuit(CHANNEL, number)))
    assert [first.let_go(Circuit(CHANNEL, number)) for number in range(len(at))] == are_first
    assert not first.let_go(Circuit(CHANNEL, 0))


def test_the_channels_are_looked_at_before_there_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is let go meanwhile would be new."""
    done: list[str] = []
    monkeypatch.setattr(apart, "_before", lambda *_: done.append("looked"))
    monkeypatch.setattr(apart, "Interception", lambda _: done.append("stream"))
    Asked(Credentials("127.0.0.1:1", "local"), 0, set())
    assert done == ["looked", "stream"]


def test_a_node_that_is_away_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    node.is_away = True
    with pytest.raises(NodeUnavailable):
        Before(node.channels, node.answer)


class Listing:
    """A node that lists no channels."""

    def __init__(self, why: NodeUnavailable, *, is_there: bool = True) -> None:
        self.why, self.is_there = why, is_there

    def channels(self, *, seconds: float) -> Any:
        raise self.why

    def require_active(self) -> None:
        if not self.is_there:
            raise NodeUnavailable("gone")


def test_a_node_that_never_lists_its_channels_is_asked_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    node: Any = Listing(NodeUnavailable("Deadline Exceeded"))
    assert apart._before(node, lambda circuit, answer: None, 0, set()) is None
    assert "let go at once" in caplog.text


@pytest.mark.parametrize(
    "node",
    [Listing(NodeUnavailable("x", reason="NODE_NOT_READY")), Listing(NodeUnavailable("x"), is_there=False)],
    ids=["it starts", "it is away"],
)
def test_one_that_starts_is_waited_for(node: Any) -> None:
    with pytest.raises(NodeUnavailable):
        apart._before(node, lambda circuit, answer: None, 0, set())


def test_without_it_all_goes_on_at_once() -> None:
    asked = Asked.__new__(Asked)
    told: list[Circuit] = []
    asked._before, asked._stream = None, type("Stream", (), {"answer": lambda _, circuit, __: told.append(circuit)})()
    asked.let_go(PART.circuit)
    assert told == [PART.circuit]
