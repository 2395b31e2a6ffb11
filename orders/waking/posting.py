"""One HTTPS request to where a stranger says: at a public address, looked up once; of the answer only its code is read.

Spec: bLIP-55. Redirections are not followed, no proxy is used, and nothing is waited for longer than a few seconds.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from socket import getaddrinfo
from threading import Timer
from time import monotonic
from typing import Final

from lightning.addresses import is_public
from orders.waking.urls import BadUrl, Target, read

_CONNECT_SECONDS: Final = 4.0
#: From the first packet on, whatever is sent how slowly.
_TOTAL_SECONDS: Final = 8.0
#: The first line of an answer is shorter.
_MOST_BYTES: Final = 512
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")


class NotDelivered(Exception):
    """Why, in a few words without the URL, and without what the other side said."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """The URL has it, and has said 200. Raises: NotDelivered."""
    try:
        target = read(url)
    except BadUrl:  # it was registered by an older version's rules
        raise NotDelivered("no URL that we call") from None
    code = _code_of(_exchange(target, _address(target), _written(target, body, headers)))
    if code != 200:
        raise NotDelivered(f"HTTP {code}" if code else "no answer of HTTP")


def _address(target: Target) -> str:
    """The first public one that its host has now: it is the one that is connected to, whatever the name says later."""
    try:
        found = getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotDelivered("its host is not found") from None
    known = (str(each[4][0]) for each in found)
    for address in known:
        if is_public(ip_address(address.partition("%")[0])):
            return address
    raise NotDelivered("its host is at no public address")


def _written(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    said = {
        "Host": target.authority,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _exchange(target: Target, address: str, request: bytes) -> bytes:
    """The beginning of the answer."""
    try:
        with (
            socket.create_connection((address, target.port), _CONNECT_SECONDS) as line,
            _ended_in_time(line),
            context().wrap_socket(line, server_hostname=target.host.rstrip(".")) as secure,
        ):
            secure.sendall(request)
            return _first_line(secure)
    except TimeoutError:
        raise NotDelivered("it took too long") from None
    except ssl.SSLCertVerificationError:
        raise NotDelivered("its certificate is not its host's") from None
    except OSError as problem:
        raise NotDelivered(f"no connection ({type(problem).__name__})") from None


@contextmanager
def _ended_in_time(line: socket.socket) -> Iterator[None]:
    """However slowly the other side says something, in the handshake too, where each byte would be waited for anew.

    Raises: TimeoutError.
    """
    until = monotonic() + _TOTAL_SECONDS
    with line.dup() as same:  # who speaks TLS takes the first one over
        end = Timer(_TOTAL_SECONDS, _shut, (same,))
        end.start()
        try:
            yield
        finally:
            end.cancel()
            end.join()
            if monotonic() >= until:  # whatever it broke off with
                raise TimeoutError


def _shut(line: socket.socket) -> None:
    with suppress(OSError):  # the other side has
        line.shutdown(socket.SHUT_RDWR)


def _first_line(secure: ssl.SSLSocket) -> bytes:
    said = b""
    while b"\n" not in said and len(said) < _MOST_BYTES:
        if not (more := secure.recv(_MOST_BYTES - len(said))):
            break
        said += more
    return said


def _code_of(said: bytes) -> int:
    """0: it is no answer."""
    found = _STATUS.match(said)
    return int(found[1]) if found else 0


def context() -> ssl.SSLContext:
    """Certificates are checked as browsers do."""
    return ssl.create_default_context()
