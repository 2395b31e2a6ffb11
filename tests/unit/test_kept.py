"""What is the same for all who ask is made once, and not told for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from lsps import kept
from lsps.kept import Kept

SECONDS = 5.0


class Clock:
    """Time passes when it is told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(kept, "monotonic", clock)
    return clock


@pytest.fixture
def numbers(clock: Clock) -> Kept[str, str]:
    """Each answer that is made has a number of its own."""
    made: Iterator[int] = count(1)
    return Kept(lambda key: f"{key}-{next(made)}", seconds=SECONDS)


def test_who_asks_again_is_told_what_was_made_for_the_first_and_another_key_has_its_own(
    numbers: Kept[str, str],
) -> None:
    assert [numbers.of("a"), numbers.of("a"), numbers.of("b"), numbers.of("a")] == ["a-1", "a-1", "b-2", "a-1"]


def test_what_is_too_old_is_made_anew(numbers: Kept[str, str], clock: Clock) -> None:
    numbers.of("a")
    clock.now += SECONDS
    assert numbers.of("a") == "a-1"
    clock.now += 0.01
    assert numbers.of("a") == "a-2"


def test_it_is_as_old_as_the_moment_at_which_it_was_begun(clock: Clock) -> None:
    def slow(key: str) -> float:
        begun = clock.now
        clock.now += SECONDS + 1
        return begun

    numbers = Kept(slow, seconds=SECONDS)
    first = numbers.of("a")
    assert numbers.of("a") > first


def test_what_could_not_be_made_is_tried_again_by_the_next(clock: Clock) -> None:
    said = iter([RuntimeError("nothing is on sale"), "something"])

    def make(key: str) -> str:
        found = next(said)
        if isinstance(found, Exception):
            raise found
        return found

    offered = Kept(make, seconds=SECONDS)
    with pytest.raises(RuntimeError):
        offered.of("a")
    assert offered.of("a") == "something"


def test_many_who_ask_at_once_have_it_made_once() -> None:
    made: list[str] = []
    together = threading.Barrier(4)

    def make(key: str) -> str:
        made.append(key)
        time.sleep(0.2)  # the others have asked by then
        return "made"

    offered = Kept(make, seconds=SECONDS)

    def ask() -> str:
        together.wait(10)
        return offered.of("a")

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask) for _ in range(4)]
        assert [each.result(10) for each in asked] == ["made"] * 4
    assert made == ["a"]


@pytest.fixture
def slow(clock: Clock) -> Iterator[tuple[Kept[str, str], threading.Event, threading.Event]]:
    """What was made once, and whose second making waits to be told to go on; whether it has begun."""
    begun, go_on = threading.Event(), threading.Event()
    made: Iterator[int] = count(1)

    def make(key: str) -> str:
        if (number := next(made)) > 1:
            begun.set()
            go_on.wait(20)
        return f"{key}-{number}"

    offered = Kept(make, seconds=SECONDS)
    assert offered.of("a") == "a-1"
    yield offered, begun, go_on
    go_on.set()


def test_while_it_is_made_anew_others_are_told_what_was_known(
    slow: tuple[Kept[str, str], threading.Event, threading.Event], clock: Clock
) -> None:
    offered, begun, go_on = slow
    clock.now += SECONDS + 1
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(offered.of, "a")
        assert begun.wait(10)
        assert threads.submit(offered.of, "a").result(10) == "a-1"
        go_on.set()
        assert first.result(10) == "a-2"


def test_what_is_much_too_old_is_told_to_nobody(
    slow: tuple[Kept[str, str], threading.Event, threading.Event], clock: Clock
) -> None:
    offered, begun, go_on = slow
    clock.now += 4 * SECONDS + 1
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(offered.of, "a") for _ in range(2)]
        assert begun.wait(10)
        go_on.set()
        assert [each.result(10) for each in asked] == ["a-2", "a-2"]


def test_what_is_forgotten_is_made_anew(numbers: Kept[str, str]) -> None:
    numbers.of("a")
    numbers.forget()
    assert numbers.of("a") == "a-2"
