"""What may be ours until it is answered: decided, let go in doubt, handed over once more. No node, no process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lightning.parts import FAIL, RESUME, Answer, Circuit, Intercepted
from streams import undecided
from streams.before import DOUBT_BLOCKS
from streams.undecided import Undecided
from tests.regtest.waiting import until
from tests.streams.test_forwarding import Domain, scids

LET_GO = "let go"


class Silent:
    """A stream that nobody answers, and what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Circuit, Answer | str]] = []

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        self.told.append((circuit, answer))
        return True

    def let_go(self, circuit: Circuit) -> bool:
        self.told.append((circuit, LET_GO))
        return True


def part_of(number: int, scid: int) -> Intercepted:
    return Intercepted(Circuit(1, number), "ab" * 32, 1_000, 900, 1_000, 800, scid, 881)


def test_what_lnd_is_about_to_fail_is_let_go() -> None:
    domain, stream = Domain(), Silent()
    waiting, part = Undecided(domain), replace(part_of(1, domain.ours), outgoing_expiry=899)
    waiting.add(stream, part)  # type: ignore[arg-type]
    domain.wait()
    waiting.block_came(part.auto_fail_height - DOUBT_BLOCKS - 1)
    assert not stream.told
    waiting.block_came(part.auto_fail_height - DOUBT_BLOCKS)
    assert stream.told == [(part.circuit, RESUME)]
    waiting._threads.shutdown()


def test_what_runs_out_where_it_goes_is_let_go_as_nothing_goes_on_then(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, stream = Domain(), Silent()
    waiting = Undecided(domain)
    waiting.add(stream, part_of(1, domain.ours))  # type: ignore[arg-type]
    domain.wait()
    waiting.block_came(799)
    assert not stream.told
    waiting.block_came(800)
    assert stream.told == [(Circuit(1, 1), RESUME)]
    waiting.add(stream, part_of(2, domain.ours))  # type: ignore[arg-type]
    assert stream.told[1:] == [(Circuit(1, 2), RESUME)] and len(domain.asked) == 1
    lost = replace(part_of(3, domain.ours), auto_fail_height=900)
    waiting.add(stream, lost)  # type: ignore[arg-type]
    waiting._threads.shutdown()
    assert domain.lost_parts == [lost]


def test_what_went_on_before_we_began_is_ours_whatever_else_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it might be let go, and go on once more, where it has come back."""
    monkeypatch.setattr(undecided, "_MOST", 1)
    monkeypatch.setattr(undecided, "_PATIENCE_SECONDS", 0.0)
    domain, stream = Domain(), Silent()
    domain.knows_ours = True
    waiting = Undecided(domain)
    waiting.learn()
    domain.database_is_there.clear()
    for number, scid in enumerate([next(scids), domain.ours, domain.ours]):
        waiting.add(stream, part_of(number, scid))  # type: ignore[arg-type]
    until(lambda: waiting.tick() or stream.told, "what may be a stranger's is let go", timeout=5)
    assert stream.told == [(Circuit(1, 0), LET_GO)]
    domain.database_is_there.set()
    waiting._threads.shutdown()


def test_where_the_database_is_away_we_begin_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    domain = Domain()
    domain.database_fails = True
    Undecided(domain).learn()
    assert "is not known" in caplog.text


def test_who_floods_us_with_numbers_like_ours_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "_MOST", 5)
    domain, stream = Domain(), Silent()
    domain.database_is_there.clear()
    waiting = Undecided(domain)
    for number in range(8):
        waiting.add(stream, part_of(number, next(scids)))  # type: ignore[arg-type]
    assert stream.told == [(Circuit(1, number), LET_GO) for number in (5, 6, 7)]
    assert "let_go=3" in waiting.detail()
    domain.database_is_there.set()
    waiting._threads.shutdown()


def test_what_was_let_go_in_doubt_is_not_decided_about_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "_PATIENCE_SECONDS", 0.0)
    domain, stream = Domain(), Silent()
    domain.database_is_there.clear()
    waiting, part = Undecided(domain), part_of(1, domain.ours)
    waiting.add(stream, part)  # type: ignore[arg-type]
    until(lambda: waiting.tick() or stream.told, "it is let go", timeout=5)
    domain.database_is_there.set()
    waiting.forget()
    waiting.add(stream, part)  # type: ignore[arg-type]
    waiting._threads.shutdown()
    assert stream.told == [(part.circuit, LET_GO)] * 2 and not domain.asked


def test_and_is_forgotten_when_it_ran_out_long_ago_or_too_many_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "_MOST", 0)
    monkeypatch.setattr(undecided, "_MOST_KEPT", 2)
    domain, stream = Domain(), Silent()
    waiting = Undecided(domain)
    for number in range(3):
        waiting.add(stream, part_of(number, domain.ours))  # type: ignore[arg-type]
    assert set(waiting._gone) == {Circuit(1, 1), Circuit(1, 2)}
    waiting.block_came(900 + undecided._GONE_BLOCKS - 1)
    assert len(waiting._gone) == 2
    waiting.block_came(900 + undecided._GONE_BLOCKS)
    assert not waiting._gone


def test_what_a_defect_of_ours_keeps_from_being_decided_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(undecided, "_AGAIN_SECONDS", 0.0)
    domain, stream = Domain(), Silent()
    waiting = Undecided(domain)

    def fails_once(answer: Callable[[Answer], bool]) -> None:
        domain.decides = lambda answer: answer(FAIL)
        raise ZeroDivisionError

    domain.decides = fails_once
    waiting.add(stream, part_of(1, domain.ours))  # type: ignore[arg-type]
    until(lambda: "could not be decided" in caplog.text, "it failed", timeout=5)
    until(lambda: waiting.tick() or stream.told, "it is decided", timeout=5)
    assert stream.told == [(Circuit(1, 1), FAIL)]
    waiting._threads.shutdown()
