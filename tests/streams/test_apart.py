"""The process that reads what LND asks: it waits for nobody, knows no secret, and ends with whoever began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from lightning.credentials import Credentials
from lightning.errors import NodeUnavailable
from lightning.parts import FAIL, Answer, Circuit, Intercepted
from streams import apart
from streams.apart import Apart, Reader, Stream
from streams.forwarding import Line
from streams.undecided import Undecided
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until
from tests.streams.test_forwarding import Domain, Passage, asking, passage  # noqa: F401  fixtures

NOWHERE = Credentials("127.0.0.1:1", "local")
ROOT = Path(__file__).parents[2]
_BEGINNER = """
import sys
from lightning.credentials import Credentials
from streams.apart import Apart
begun = Apart(lambda: Credentials("127.0.0.1:1", "local"))
begun.open()
print(begun._process.pid, flush=True)
sys.stdin.read()
"""


def part_of(number: int, scid: int = 16_050_000 << 40) -> Intercepted:
    return Intercepted(Circuit(1, number), "ab" * 32, 1_000, 900, 1_000, 800, scid, 881)


def test_while_our_own_process_hears_nothing_what_others_pay_goes_on(passage: Passage) -> None:  # noqa: F811
    heard, hears = threading.Event(), threading.Event()

    def hang(stream: Stream, part: Intercepted) -> None:
        heard.set()
        hears.wait(30)
        stream.answer(part.circuit, FAIL)

    passage.undecided.add = hang  # type: ignore[method-assign]
    passage.pay(passage.ours)
    assert heard.wait(10)
    assert [passage.pay(passage.scid()).wait(timeout=10) for _ in range(5)] == [SUCCEEDED] * 5
    hears.set()


@pytest.fixture
def begun() -> Iterator[Apart]:
    made = Apart(lambda: NOWHERE)
    yield made
    made.end()


def test_it_knows_nothing_of_our_environment(begun: Apart) -> None:
    begun.open()
    assert begun._process is not None
    environment = Path(f"/proc/{begun._process.pid}/environ")
    until(environment.read_bytes, "it has begun", timeout=10)
    assert [each.partition(b"=")[0] for each in environment.read_bytes().split(b"\0") if each] == [b"PYTHONPATH"]
    assert str(begun._credentials()).encode() not in Path(f"/proc/{begun._process.pid}/cmdline").read_bytes()


def test_the_other_process_is_told_how_high_the_chain_is(begun: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr(begun, "say", lambda *what: said.append(what))
    line = Line(lambda: begun, Undecided(Domain()))
    line.block_came(700)
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(Stream, "__iter__", lambda stream: iter(()))
    line._hear(begun, stop)
    assert said == [("open", 1, NOWHERE, 700)]


def test_a_node_that_is_not_there_is_away_and_the_next_stream_is_another(begun: Apart) -> None:
    for _ in range(2):
        with pytest.raises(NodeUnavailable):
            list(begun.open())
    assert begun._number == 2 and begun._process is not None and begun._process.poll() is None


def test_one_that_died_is_begun_anew(begun: Apart) -> None:
    stream = begun.open()
    assert begun._process is not None
    begun._process.kill()
    with pytest.raises(NodeUnavailable, match="has ended"):
        list(stream)
    with pytest.raises(NodeUnavailable, match="connect"):
        list(begun.open())


def test_it_ends_with_whoever_began_it_however_that_ends() -> None:
    command = [sys.executable, "-c", _BEGINNER]
    beginner = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert beginner.stdout is not None and beginner.stdin is not None
    pid = int(beginner.stdout.readline())
    beginner.send_signal(signal.SIGKILL)
    beginner.wait(10)
    until(lambda: not is_running(pid), "it has ended too", timeout=20)
    beginner.stdin.close()
    beginner.stdout.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Asking:
    """In place of what reads LND's stream."""

    def __init__(self) -> None:
        self.told: list[tuple[Circuit, Answer]] = []
        self.heights: list[int] = []
        self.gone: list[Circuit] = []

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        self.told.append((circuit, answer))
        return True

    def let_go(self, circuit: Circuit) -> None:
        self.gone.append(circuit)

    def block_came(self, height: int) -> None:
        self.heights.append(height)


def test_what_whoever_began_it_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would keep LND waiting, and with it all that others pay."""
    monkeypatch.setattr(apart, "_MOST_UNREAD", 2)
    reader, lnd = Reader(Pipe()[0]), Asking()
    for number in range(4):
        reader._take(1, lnd, part_of(number))  # type: ignore[arg-type]
    assert lnd.gone == [Circuit(1, 2), Circuit(1, 3)] and not lnd.told
    assert reader._unread.qsize() == 2


def test_what_is_said_of_a_stream_before_is_said_to_no_other() -> None:
    reader, lnd = Reader(Pipe()[0]), Asking()
    reader._asked, reader._number = lnd, 2  # type: ignore[assignment]
    reader._do("answer", 1, Circuit(1, 1), FAIL)
    reader._do("block_came", 1, 800)
    assert (lnd.told, lnd.heights) == ([], [])
    reader._do("answer", 2, Circuit(1, 1), FAIL)
    reader._do("block_came", 2, 801)
    assert (lnd.told, lnd.heights) == ([(Circuit(1, 1), FAIL)], [801])


def test_whoever_opens_another_stream_meanwhile_has_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Any] = []
    reader = Reader(Pipe()[0])

    class Late(Asking):
        def __init__(self, *_: Any) -> None:
            reader._number = 2

        def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr(apart, "Asked", Late)
    reader._number = 1
    reader._read(1, NOWHERE, 0)
    assert len(closed) == 1 and reader._asked is None and reader._unread.empty()


def test_what_is_heard_of_a_stream_before_counts_for_nothing() -> None:
    ours, theirs = Pipe()
    stream: Any = Stream(Apart(lambda: NOWHERE), ours, 2)
    for said in (("opened", 1), ("part", 1, part_of(1)), ("ended", 1, "", ""), ("part", 2, part_of(2))):
        theirs.send(said)
    assert next(iter(stream)) == part_of(2)
    assert stream.lasts_seconds == 0
    theirs.send(("opened", 2))
    theirs.send(("ended", 2, "taken", "interceptor_exists"))
    with pytest.raises(NodeUnavailable) as caught:
        list(stream)
    assert caught.value.reason == "interceptor_exists" and stream.lasts_seconds > 0
