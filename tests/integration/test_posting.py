"""A request to where a stranger says goes nowhere but there, and takes no longer than we let it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from orders.waking import posting
from orders.waking.posting import NotDelivered
from simulator.certificate import certificate

BODY = b'{"jsonrpc":"2.0"}'
HEADERS = {"x-lsps5-timestamp": "2026-01-01T00:00:00.000Z", "x-lsps5-signature": "signature"}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Service:
    """Takes connections of TLS at 127.0.0.1, and answers as it is told."""

    def __init__(self, home: Path) -> None:
        certificate(home)
        self.cert = home / "tls.cert"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, home / "tls.key")
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.heard: list[bytes] = []
        self.say: Callable[[Any], None] = lambda line: line.sendall(OK)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listening.accept()
            except OSError:
                return
            with suppress(OSError), closing(self.context.wrap_socket(line, server_side=True)) as secure:
                said = b""
                while not said.endswith(BODY):
                    said += secure.recv(4096)
                self.heard.append(said)
                self.say(secure)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(tmp_path)
    yield found
    found.listening.close()


@pytest.fixture
def leads_here(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The name of a wallet's service leads to ours, which counts as public, and its certificate as its own."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    trusting = ssl.create_default_context(cafile=str(service.cert))
    trusting.check_hostname = False
    monkeypatch.setattr(posting, "getaddrinfo", lambda *args, **kwargs: found)
    monkeypatch.setattr(posting, "is_public", lambda address: True)
    monkeypatch.setattr(posting, "context", lambda: trusting)
    return service


def post(port: int) -> None:
    posting.post(f"https://push.example.org:{port}/a?l=1", BODY, HEADERS)


def test_l5_16_17_it_is_a_post_of_exactly_that_body_with_those_headers(leads_here: Service) -> None:
    post(leads_here.port)
    [heard] = leads_here.heard
    head, _, body = heard.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert body == BODY and lines[0] == "POST /a?l=1 HTTP/1.1"
    assert {f"Host: push.example.org:{leads_here.port}", f"Content-Length: {len(BODY)}"} <= set(lines)
    assert {f"{name}: {value}" for name, value in HEADERS.items()} <= set(lines)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: https://other.example/\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 503 \r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        (b"SSH-2.0-OpenSSH\r\n", "no answer of HTTP"),
        (b"x" * 100_000, "no answer of HTTP"),
        (b"", "no answer of HTTP"),
    ],
)
def test_l5_18_whatever_is_not_200_is_none_and_no_redirection_is_followed(
    leads_here: Service, answer: bytes, why: str
) -> None:
    leads_here.say = lambda line: line.sendall(answer)
    with pytest.raises(NotDelivered, match=why):
        post(leads_here.port)
    assert len(leads_here.heard) == 1


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(
    leads_here: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_TOTAL_SECONDS", 0.3)

    def drip(line: Any) -> None:
        for _ in range(100):
            line.sendall(b"H")
            time.sleep(0.05)

    leads_here.say = drip
    with pytest.raises(NotDelivered, match="too long"):
        post(leads_here.port)


def test_a_handshake_that_comes_byte_by_byte_is_not_waited_for(
    leads_here: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_TOTAL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as slow:
        dripping = threading.Thread(target=drip_handshake, args=(slow,))
        dripping.start()
        with pytest.raises(NotDelivered, match="too long"):
            post(slow.getsockname()[1])
        dripping.join()


def drip_handshake(slow: socket.socket) -> None:
    """A record of 16,000 bytes, one now and then, for as long as anybody takes them, or three seconds."""
    line, _ = slow.accept()
    with line, suppress(OSError):
        for byte in (b"\x16", b"\x03", b"\x03", b"\x3e", b"\x80", *[b"\x02"] * 55):
            line.sendall(byte)
            time.sleep(0.05)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"]
)
def test_l5_18_a_name_that_leads_home_is_not_followed(
    service: Service, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(posting, "getaddrinfo", lambda *args, **kwargs: [(0, 0, 0, "", (address, 0))])
    with pytest.raises(NotDelivered, match="no public address"):
        post(service.port)
    assert not service.heard


def test_l5_18_it_is_looked_up_once_and_connected_to_what_was_found(
    leads_here: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def found(host: str, port: int, **kwargs: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.1", "203.0.113.9")]

    monkeypatch.setattr(posting, "getaddrinfo", found)
    post(leads_here.port)
    assert asked == ["push.example.org"] and len(leads_here.heard) == 1


def test_a_certificate_of_another_name_is_none(leads_here: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = ssl.create_default_context(cafile=str(leads_here.cert))
    monkeypatch.setattr(posting, "context", lambda: strict)
    with pytest.raises(NotDelivered, match="certificate"):
        post(leads_here.port)
    assert posting.ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED


def test_a_host_that_is_not_found_and_one_that_takes_no_connection_are_told(
    leads_here: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    with pytest.raises(NotDelivered, match="no connection"):
        post(port)

    def unknown(*args: Any, **kwargs: Any) -> None:
        raise socket.gaierror

    monkeypatch.setattr(posting, "getaddrinfo", unknown)
    with pytest.raises(NotDelivered, match="not found"):
        post(leads_here.port)
