"""The real server while clients are slow, and while the node hangs: who does not need them is answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orders.api import turns
from simulator.control import PAUSE_BEFORE, Control
from tests.site.conftest import Visited
from tests.site.test_supervisor import eventually

BUY = {"local_balance": 100_000, "remote_balance": 0, "channel_expiry": 1}
SOON_SECONDS = 5.0  # this machine may be busy; without the guard nobody is answered for a minute
PROCESSES = 2
NOBODYS = "3f0e5f3c-54f5-4a07-a9b8-e9d4e2f5ad3f"


def asked(visited: Visited, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
    """The answer, with what it has said in `said`."""
    client = http.client.HTTPConnection(visited.listen, timeout=60)
    client.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer = client.getresponse()
    answer.said = answer.read()  # type: ignore[attr-defined]
    client.close()
    return answer


def seconds_of_reads(visited: Visited) -> float:
    """The longest that any read has taken."""
    longest = 0.0
    for path in ("/healthz", "/node/info", f"/channel/order?order_id={NOBODYS}", "/admin/login/"):
        begun = time.monotonic()
        assert asked(visited, "GET", path).status in {200, 404}
        longest = max(longest, time.monotonic() - begun)
    return longest


def test_found_c3_clients_that_send_a_byte_now_and_then_keep_nobody_waiting(visited: Visited) -> None:
    host, _, port = visited.listen.rpartition(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(48)]
    for number, line in enumerate(slow):
        line.sendall(b"POST /channel/buy HTTP/1.1\r\nHost: localhost\r\n")
        if number % 2:
            line.sendall(b"Content-Length: 400\r\n\r\n{")
    for _ in range(3):
        for line in slow:
            line.sendall(b" ")
        assert seconds_of_reads(visited) < SOON_SECONDS
    assert asked(visited, "POST", "/channel/buy", BUY).status == 200
    for line in slow:
        line.close()


@contextmanager
def node_that_hangs(visited: Visited, call: str) -> Iterator[Control]:
    """It takes these calls, and answers none of them."""
    node = visited.home / "simulated" / "node"
    control = Control((node / "listen").read_text(), node)
    control.add_fault(call, PAUSE_BEFORE, times=0)
    try:
        yield control
    finally:
        control.end_faults(call)
        control.close()


def test_found_c3_while_the_node_hangs_only_so_many_wait_for_it_and_reads_are_answered(visited: Visited) -> None:
    answers: list[Any] = []

    def buy() -> None:
        answers.append(asked(visited, "POST", "/channel/buy", BUY))

    with node_that_hangs(visited, "AddHoldInvoice") as control:
        buyers = [threading.Thread(target=buy) for _ in range(12)]
        for buyer in buyers:
            buyer.start()
        assert eventually(lambda: len(control.waiting()) >= PROCESSES)
        assert seconds_of_reads(visited) < SOON_SECONDS
        at_most = PROCESSES * turns.AT_ONCE
        assert eventually(lambda: len(answers) >= 12 - at_most)
        assert 1 < len(control.waiting()) <= at_most
        for answer in answers:
            assert (answer.status, json.loads(answer.said)["code"]) == (503, "not_available")
            assert int(answer.headers["Retry-After"]) > 0
        assert seconds_of_reads(visited) < SOON_SECONDS
    for buyer in buyers:
        buyer.join(60)
    assert {answer.status for answer in answers} == {200, 503}
    assert asked(visited, "POST", "/channel/buy", BUY).status == 200
