"""What LND may have asked about before is let go where its channels show that it has not gone on; else it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

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


def half(index: int, *, out: int = 0) -> Htlc:
    return Htlc(
        incoming=True, amount_sat=1, payment_hash="ab" * 32, expiry_height=900, index=index, other_channel=out,
        other_index=0, locked_in=True,
    )  # fmt: skip


class Node:
    """What its channel shows, and what it was told."""

    def __init__(self, *halves: Htlc) -> None:
        self.halves: Sequence[Htlc] = halves
        self.told: list[tuple[Circuit, Answer]] = []
        self.looks = 0
        self.is_away = False

    def channels(self) -> list[Any]:
        self.looks += 1
        if self.is_away:
            raise NodeUnavailable("away")
        return [channel(short_channel_id=CHANNEL, htlcs=tuple(self.halves))]

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

    def ask(node: Node, *, now: Sequence[Htlc], height: int = 0) -> Before:
        first = Before(node.channels, node.answer, height)
        made.append(first)
        node.halves = now
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


def test_while_the_channels_are_not_told_what_is_new_goes_on_and_what_may_not_be_waits(asks: Asks) -> None:
    node = Node(half(1))
    first = Before(node.channels, node.answer)
    node.is_away = True
    for part in (PART, replace(PART, circuit=Circuit(CHANNEL, 2))):
        first.meet(part)
        first.let_go(part.circuit)
    until(lambda: node.told == [(Circuit(CHANNEL, 2), RESUME)], "what is new goes on", timeout=5)
    has_looked_anew = node.looks
    first._something.set()
    until(lambda: node.looks > has_looked_anew, "it is asked again", timeout=5)
    assert len(node.told) == 1
    first.close()


def test_what_comes_later_is_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Before((node := Node()).channels, node.answer)
    first.meet(PART)
    monkeypatch.setattr(before, "monotonic", lambda: first._first_until)
    first.meet(replace(PART, circuit=Circuit(CHANNEL, 2)))
    assert not first.let_go(Circuit(CHANNEL, 2))
    assert first.let_go(PART.circuit) and not first.let_go(PART.circuit)
    first.close()


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
    assert apart._before(node, lambda circuit, answer: None, 0) is None
    assert "let go at once" in caplog.text


@pytest.mark.parametrize(
    "node",
    [Listing(NodeUnavailable("x", reason="NODE_NOT_READY")), Listing(NodeUnavailable("x"), is_there=False)],
    ids=["it starts", "it is away"],
)
def test_one_that_starts_is_waited_for(node: Any) -> None:
    with pytest.raises(NodeUnavailable):
        apart._before(node, lambda circuit, answer: None, 0)


def test_without_it_all_goes_on_at_once() -> None:
    asked = Asked.__new__(Asked)
    told: list[Circuit] = []
    asked._before, asked._stream = None, type("Stream", (), {"answer": lambda _, circuit, __: told.append(circuit)})()
    asked.let_go(PART.circuit)
    assert told == [PART.circuit]
