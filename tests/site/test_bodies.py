"""Bodies of unknown length (`Transfer-Encoding: chunked`), as proxies stream them, at the real server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from lsp_site.bodies import HeadAlone, LengthKnown
from tests.site.conftest import Visited
from tests.site.test_run import ROOT

LIMIT = 64 * 1024
BUY = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection, byte by byte."""

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, path: str, *chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> None:
        named = {"Host": "localhost", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
        try:
            self.socket.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
            for chunk in chunks:
                self.socket.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.socket.sendall(end)
        except OSError:
            pass  # it has answered, and hung up

    def answer(self) -> Answer:
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()) and b":" in line:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self.file.read(int(headers.get("content-length", 0))))


@pytest.fixture
def line(visited: Visited) -> Iterator[Line]:
    line = Line(visited.listen)
    yield line
    line.socket.close()


def test_found_d5_a_body_that_comes_in_chunks_buys_a_channel(line: Line) -> None:
    raw = json.dumps(BUY).encode()
    line.send("/channel/buy", raw[:10], raw[10:11], raw[11:])
    answer = line.answer()
    assert answer.status == 200, answer
    line.send("/channel/manual_finalise", json.dumps({"order_id": answer.said["order_id"], "node_uri": "x"}).encode())
    assert line.answer().said["field"] == "node_uri"


@pytest.mark.parametrize("mount", ["", "/v1", "/api/v1"])
def test_found_d5_every_endpoint_that_takes_a_body_reads_it(line: Line, mount: str) -> None:
    for path, body, field in (
        ("/channel/buy", {"local_balance": 500_000, "remote_balance": 0}, "channel_expiry"),
        ("/channel/manual_finalise", {"order_id": "x"}, "node_uri"),
    ):
        line.send(mount + path, json.dumps(body).encode())
        assert line.answer().said["field"] in {field, "order_id"}, path
    line.send(f"{mount}/lnurl/channel", json.dumps({"order_id": "x"}).encode())
    assert "order_id is required" not in line.answer().said["reason"]


def test_found_d5_staff_log_in_with_a_form_that_comes_in_chunks(line: Line, visited: Visited) -> None:
    cookies = CookieJar()
    page = build_opener(HTTPCookieProcessor(cookies)).open(f"http://{visited.listen}/admin/login/").read().decode()
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    [cookie] = [f"{cookie.name}={cookie.value}" for cookie in cookies if cookie.name == "csrftoken"]
    form = f"csrfmiddlewaretoken={token}&username=nobody&password=guessed".encode()
    line.send("/admin/login/", form[:7], form[7:], Cookie=cookie, Content_Type="application/x-www-form-urlencoded")
    answer = line.answer()
    assert answer.status == 200 and b"Please enter the correct username and password" in answer.body


def test_found_d5_a_body_in_chunks_may_be_as_large_as_any_and_no_larger(line: Line) -> None:
    padded = json.dumps(BUY).encode().ljust(LIMIT)
    line.send("/channel/buy", padded[:-1], padded[-1:])
    assert line.answer().status == 200
    line.send("/channel/buy", padded, b" ")
    answer = line.answer()
    assert (answer.status, answer.said["code"]) == (413, "too_large")


def test_found_d5_what_was_not_read_is_not_taken_for_the_next_request(visited: Visited) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    for size in (LIMIT + 1, 10 * LIMIT):
        line = Line(visited.listen)
        line.send("/channel/buy", b"x" * size, hidden)
        assert line.answer().status == 413
        line.send("/channel/buy", b"{}")
        try:
            answers = line.file.read()
        except OSError:
            answers = b""
        assert b'"database"' not in answers and answers.count(b"HTTP/1.1") <= 1
        line.socket.close()


@pytest.mark.parametrize(
    ("chunks", "end"),
    [((json.dumps(BUY).encode(),), b""), ((json.dumps(BUY).encode(),), b"5\r\nab"), ((), b"zz\r\n"), ((), b"-1\r\n")],
)
def test_found_d5_half_a_body_buys_nothing(line: Line, chunks: tuple[bytes, ...], end: bytes) -> None:
    line.send("/channel/buy", *chunks, end=end)
    line.socket.shutdown(socket.SHUT_WR)
    said = line.file.read()
    assert said == b"" or said.startswith(b"HTTP/1.1 400")


def test_a_body_of_announced_length_is_read_as_before(line: Line) -> None:
    raw = json.dumps(BUY).encode()
    line.send("/channel/buy", end=raw, Transfer_Encoding="", Content_Length=str(len(raw)))
    assert line.answer().status == 200


def test_a_body_of_two_lengths_is_refused(line: Line) -> None:
    line.send("/channel/buy", b"{}", Content_Length="7")
    assert line.answer().status == 400


def test_found_d5_a_server_that_does_not_take_chunks_apart_asks_for_the_length() -> None:
    statuses: list[str] = []

    def start(status: str, headers: Any, failed: Any = None, /) -> Any:
        statuses.append(status)

    application = LengthKnown(lambda environ, start: [b"reached"], LIMIT)
    assert list(application({"HTTP_TRANSFER_ENCODING": "chunked"}, start)) == []
    assert statuses == ["411 Length Required"]
    assert list(application({}, start)) == [b"reached"]


class Taken(list[bytes]):
    """An answer that knows whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(("method", "sent"), [("GET", [b"body"]), ("HEAD", [])])
def test_an_answer_to_head_has_no_body_and_is_closed_all_the_same(method: str, sent: list[bytes]) -> None:
    made = Taken([b"body"])
    application = HeadAlone(lambda environ, start: made)
    assert list(application({"REQUEST_METHOD": method}, lambda *told: lambda data: None)) == sent
    assert made.is_closed == (method == "HEAD")  # else by the server, once it is sent


SERVED = """
import json
from wsgiref.util import setup_testing_defaults
from lsp_site.wsgi import application

def asked(method):
    environ, told = {"REQUEST_METHOD": method, "PATH_INFO": "/nothing", "HTTP_HOST": "localhost"}, []
    setup_testing_defaults(environ)
    answer = application(environ, lambda status, headers: told.extend((status, dict(headers)["Content-Length"])))
    return [*told, sum(map(len, answer))]

print(json.dumps([asked("GET"), asked("HEAD")]))
"""


def test_what_is_served_gives_head_the_length_of_get_and_no_body() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", SERVED], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    got, head = json.loads(done.stdout)
    assert got[:2] == head[:2] and got[2] == int(got[1]) > 0 and head[2] == 0
