"""No client that is slow to ask or to listen keeps a thread, and no purchase that waits keeps a reader waiting.

On gunicorn with our worker and an application that does nothing; `control` runs the same with gunicorn's own worker.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from lsp_site.serving.lane import STUCK_SECONDS
from orders.api import turns
from tests.bench import processor
from tests.site.test_run import ROOT, free_address
from tests.site.test_supervisor import eventually

THREADS = 4
ROOM = 20
OURS, GUNICORNS = "lsp_site.serving.worker.Worker", "gthread"
CONFIG = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from lsp_site.serving import connections, worker
worker.MOST_CONNECTIONS = {room}
worker.REQUEST_SECONDS = {request_seconds}
worker.ANSWER_SECONDS = 3
worker._LOOK_SECONDS = 0.1
bind, workers, threads, keepalive = "{address}", 1, {threads}, 2
worker_class, sendfile, control_socket_disable = "{worker}", False, True
"""
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Small:
    """One gunicorn, and clients of it."""

    def __init__(
        self,
        folder: Path,
        worker: str = OURS,
        *,
        request_seconds: float = 30,
        room: int = 1000,
        application: str = "application",
    ) -> None:
        self.address = free_address()
        config = CONFIG.format(
            address=self.address, threads=THREADS, worker=worker, request_seconds=request_seconds, room=room
        )
        (folder / "config.py").write_text(config)
        command = [sys.executable, "-m", "gunicorn", "--config", str(folder / "config.py")]
        command.append(f"tests.site.small:{application}")
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=(folder / "log").open("w"))
        self.log = folder / "log"
        self._opened = ExitStack()
        assert eventually(self.answers), self.log.read_text()

    def connect(self, said: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
        host, _, port = self.address.rpartition(":")
        line = socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0))
        self._opened.callback(line.close)
        line.sendall(said)
        return line

    def ask(self, said: bytes, seconds: float = 10) -> bytes:
        """All that is answered until the server hangs up."""
        line = self.connect(said)
        line.settimeout(seconds)
        return everything(line)

    def answers(self, seconds: float = 5, *, source: str = "127.0.0.1") -> bool:
        """A reader has an answer within so many seconds."""
        try:
            line = self.connect(GET, source=source)
            line.settimeout(seconds)
            return line.recv(1000).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stop(self) -> int:
        self._opened.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def everything(line: socket.socket) -> bytes:
    said = b""
    with suppress(ConnectionResetError):
        while piece := line.recv(65536):
            said += piece
    return said


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Small]]:
    with ExitStack() as started:

        def start(*arguments: str, **options: Any) -> Small:
            small = Small(tmp_path, *arguments, **options)
            started.callback(small.stop)
            return small

        yield start


SLOW = {
    "nothing at all": b"",
    "half a head": b"POST /channel/buy HTTP/1.1\r\nHost: localhost\r\nX: ",
    "half a body": b"POST /other HTTP/1.1\r\nContent-Length: 500\r\n\r\n{",
    "half a chunk": b"POST /other HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n{",
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
def test_clients_that_are_slow_to_ask_keep_nobody_waiting_and_are_hung_up_on(
    serving: Callable[..., Small], said: bytes
) -> None:
    small = serving(OURS, request_seconds=3)
    begun = time.monotonic()
    slow = [small.connect(said) for _ in range(6 * THREADS)]
    while time.monotonic() - begun < 2:
        if said:
            for line in slow:
                line.sendall(b"a")  # each byte on its own, as if there were more to come
        assert small.answers()
        time.sleep(0.3)
    for line in slow:
        assert everything(line).startswith(b"HTTP/1.1 408" if said else b"")
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("said", [SLOW["half a head"], SLOW["half a body"], SLOW["half a chunk"]])
def test_control_with_gunicorns_own_worker_nobody_else_is_answered(serving: Callable[..., Small], said: bytes) -> None:
    small = serving(GUNICORNS)
    for _ in range(2 * THREADS):
        small.connect(said)
    time.sleep(0.5)
    assert not small.answers(3)


def deaf(small: Small) -> socket.socket:
    """Asks for far more than it has room for, and reads nothing."""
    host, _, port = small.address.rpartition(":")
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((host, int(port)))
    line.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return line


def test_clients_that_never_read_their_answer_keep_nobody_waiting_and_are_hung_up_on(
    serving: Callable[..., Small],
) -> None:
    small = serving()
    lines = [deaf(small) for _ in range(3 * THREADS)]
    begun = time.monotonic()
    while time.monotonic() - begun < 2:
        assert small.answers()
    time.sleep(3)
    lines[0].settimeout(5)
    assert len(everything(lines[0])) < 8_000_000
    for line in lines:
        line.close()


def test_control_with_gunicorns_own_worker_they_keep_all_threads(serving: Callable[..., Small]) -> None:
    small = serving(GUNICORNS)
    lines = [deaf(small) for _ in range(2 * THREADS)]
    time.sleep(0.5)
    assert not small.answers(3)
    for line in lines:
        line.close()


def test_a_large_answer_arrives_whole_at_who_reads_slowly(serving: Callable[..., Small]) -> None:
    line = serving().connect(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    time.sleep(1)
    head, _, body = everything(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and len(body) == 8_000_000


def test_purchases_that_wait_keep_no_reader_waiting_and_the_late_ones_are_told(serving: Callable[..., Small]) -> None:
    small = serving()
    buyers = [small.connect(b"POST /channel/buy HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}") for _ in range(turns.AT_ONCE)]
    time.sleep(0.3)
    late = small.connect(b"POST /v1/channel/buy HTTP/1.1\r\n\r\n")
    begun = time.monotonic()
    while time.monotonic() - begun < STUCK_SECONDS + 1:  # by then a thread has it that is none of those
        assert small.answers()
    assert small.ask(b"GET /release HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
    for line in (*buyers, late):
        assert line.recv(1000).startswith(b"HTTP/1.1 200")


def test_where_there_is_no_room_who_holds_most_makes_some(serving: Callable[..., Small]) -> None:
    small = serving(OURS, room=ROOM)
    honest = small.connect(b"POST /other HTTP/1.1\r\nContent-Length: 3\r\n\r\na", source="127.0.0.2")
    for _ in range(3 * ROOM):
        small.connect(SLOW["half a body"])
    assert small.answers(source="127.0.0.3") and small.answers()
    honest.sendall(b"bc")
    assert honest.recv(1000).startswith(b"HTTP/1.1 200")


# What a server does besides


def test_requests_that_follow_each_other_are_answered_in_turn_on_one_connection(serving: Callable[..., Small]) -> None:
    small = serving()
    requests = [f"POST /{n} HTTP/1.1\r\nContent-Length: {n}\r\n\r\n{'x' * n}".encode() for n in range(40)]
    said = small.ask(b"".join(requests))  # and the connection is closed when it was idle for long enough
    assert [f"/{n} {n}".encode() in said for n in range(40)] == [True] * 40
    assert said.count(b"Connection: keep-alive") == 40


def test_what_is_said_while_an_answer_is_waited_for_is_heard_after_it(serving: Callable[..., Small]) -> None:
    small = serving()
    buyer = small.connect(b"POST /channel/buy HTTP/1.1\r\n\r\n")
    time.sleep(0.3)
    buyer.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    time.sleep(0.3)
    assert small.ask(b"GET /release HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert everything(buyer).count(b"HTTP/1.1 200") == 2


def test_at_whatever_moment_the_next_request_comes_it_is_answered(serving: Callable[..., Small]) -> None:
    """A thread that has answered leaves the connection to the loop, which may hear of it at that very moment."""
    line = serving().connect()
    for turn in range(600):
        line.sendall(GET)
        time.sleep(turn % 60 / 50_000)
        line.sendall(GET)
        said = b""
        while said.count(b"HTTP/1.1 200") < 2:
            said += line.recv(65536) or pytest.fail("hung up")


def test_who_hangs_up_while_an_answer_is_made_costs_nothing(serving: Callable[..., Small]) -> None:
    small = serving()
    for _ in range(turns.AT_ONCE):
        small.connect(b"POST /channel/buy HTTP/1.1\r\n\r\n").close()
    time.sleep(0.3)
    before = processor.seconds({"all": small.process.pid})["all"]
    time.sleep(2)
    assert processor.seconds({"all": small.process.pid})["all"] - before < 0.5
    assert small.ask(b"GET /release HTTP/1.1\r\nConnection: close\r\n\r\n") and small.answers()


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_once(serving: Callable[..., Small]) -> None:
    small = serving()
    line = small.connect(b"POST /asked HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert line.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(b"abc")
    assert line.recv(1000).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000, b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"200"),
        (b"GET /defect HTTP/1.1\r\n\r\n", b"500"),
    ],
)
def test_what_cannot_be_read_or_answered_is_told_and_ends_the_connection(
    serving: Callable[..., Small], said: bytes, status: bytes
) -> None:
    answer = serving().ask(said)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert answer.count(b"HTTP/1.1") == 1


LONG_LINE = b"GET %s?order_id=" + b"x" * 4_100 + b" HTTP/1.1\r\n\r\n"
LONG_HEADER = b"GET %s HTTP/1.1\r\nX: " + b"y" * 9_000 + b"\r\n\r\n"
LONG_HEAD = b"GET %s HTTP/1.1\r\n" + b"X: y\r\n" * 9_000
ENDLESS = b"GET %s?order_id=" + b"x" * 200_000


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (LONG_LINE, 414, "uri_too_long"),
        (ENDLESS, 414, "uri_too_long"),
        (LONG_HEADER, 431, "headers_too_large"),
        (LONG_HEAD, 431, "headers_too_large"),
    ],
    ids=["line", "endless line", "header", "head"],
)
def test_what_is_too_long_is_refused_in_the_manner_of_its_mount(
    serving: Callable[..., Small], said: bytes, status: int, code: str
) -> None:
    small = serving()
    for path, answered, in_full in (
        (b"/channel/order", status, True),
        (b"/v1/channel/order", 200, True),
        (b"/lnurl/channel", 200, False),
        (b"/api/v1/lnurl%2Fchannel", 200, False),
        (b"http://localhost/lnurl/channel", 200, False),
        (b"/api/v1/channel/order", 200, True),
    ):
        head, _, body = small.ask(said % path).partition(b"\r\n\r\n")
        told = json.loads(body)
        assert head.startswith(b"HTTP/1.1 %d " % answered) and b"Content-Type: application/json" in head
        assert (told.get("code"), told.get("status")) == ((code, None) if in_full else (None, "ERROR"))
        assert " too l" in (told.get("error") or told["reason"])
    assert small.answers()


LSPS1_PATHS = [
    *(b"/api/v1/get_order", b"/api/v1/get_order/", b"/api/v1/get%5Finfo", b"http://localhost/api/v1/create_order"),
    *(b"/api/lsps1/v1/get_order", b"/api/lsps1/v1/nothing"),
]


@pytest.mark.parametrize(
    ("said", "status"),
    [(LONG_LINE, 414), (ENDLESS, 414), (LONG_HEADER, 431), (LONG_HEAD, 431)],
    ids=["line", "endless line", "header", "head"],
)
def test_what_is_too_long_for_lsps1_is_refused_in_its_words_and_never_with_status_200(
    serving: Callable[..., Small], said: bytes, status: int
) -> None:
    small = serving()
    for path in LSPS1_PATHS:
        head, _, body = small.ask(said % path).partition(b"\r\n\r\n")
        told = json.loads(body)
        assert head.startswith(b"HTTP/1.1 %d " % status), path
        assert told["error"]["code"] == -32600 and told["message"] == told["error"]["data"]["message"]


HEAD = b"HEAD %s HTTP/1.1\r\nConnection: close\r\n\r\n"
DROPPED = "body bytes on a no-body response"


def test_head_is_answered_without_a_body_with_its_length_and_nothing_is_said_of_it(
    serving: Callable[..., Small],
) -> None:
    small = serving()
    head, _, body = small.ask(HEAD % b"/abc").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"Content-Length: 6" in head and body == b""
    assert DROPPED not in small.log.read_text()


def test_control_of_a_careless_application_gunicorn_says_so(serving: Callable[..., Small]) -> None:
    small = serving(application="careless")
    small.ask(HEAD % b"/abc")
    assert DROPPED in small.log.read_text()


@pytest.mark.parametrize("path", [b"/channel/order", b"/api/v1/get_order"])
def test_head_is_refused_without_a_body_too(serving: Callable[..., Small], path: bytes) -> None:
    head, _, body = serving().ask(b"HEAD" + (LONG_LINE % path)[len(b"GET") :]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414") and b"Content-Length: 0" not in head and body == b""


def test_nothing_hidden_in_a_body_is_taken_for_a_request(serving: Callable[..., Small]) -> None:
    small = serving()
    for length in ("70000", "5, 5", "0" * 20 + "5"):
        said = small.ask(b"POST / HTTP/1.1\r\nContent-Length: %s\r\n\r\n%s" % (length.encode(), GET * 10))
        assert said.count(b"HTTP/1.1") == 1


def test_who_hangs_up_half_way_disturbs_nobody(serving: Callable[..., Small]) -> None:
    small = serving()
    for said in (b"", b"GET", GET, SLOW["half a body"]):
        small.connect(said).close()
    line = small.connect(GET)
    line.shutdown(socket.SHUT_WR)  # it has said all, and still listens
    assert everything(line).startswith(b"HTTP/1.1 200")
    assert small.answers()
    assert "Traceback" not in small.log.read_text()


def test_it_ends_when_asked_and_what_has_begun_is_answered(serving: Callable[..., Small]) -> None:
    small = serving()
    idle = small.connect(GET)
    assert idle.recv(1000)
    buyer = small.connect(b"POST /channel/buy HTTP/1.1\r\n\r\n")
    time.sleep(0.3)
    small.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    idle.sendall(b"GET /release HTTP/1.1\r\n\r\n")
    assert buyer.recv(1000).startswith(b"HTTP/1.1 200")
    assert small.process.wait(15) == 0


def test_pythons_own_client_keeps_its_connection(serving: Callable[..., Small]) -> None:
    client = http.client.HTTPConnection(serving().address, timeout=5)
    ports = set()
    for n in range(5):
        client.request("POST", f"/{n}", body=iter([b"ab", b"c"]), encode_chunked=True)
        assert client.getresponse().read() == f"/{n} 3".encode()
        ports.add(client.sock.getsockname())
    assert len(ports) == 1
