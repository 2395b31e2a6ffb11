"""One request and its answer, over a connection of its own: all of it within one time and one size."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from ipaddress import ip_address
from threading import Thread
from typing import Final, cast

from chain.access import Access
from chain.errors import ChainUnavailable, Unreadable

_PIECE_BYTES: Final = 64 * 1024


def exchange(access: Access, body: bytes, *, until: float, most_bytes: int) -> bytes:
    """What the node answers to the body. `until`: of the monotonic clock; who drips is cut off as who is silent.

    Raises: ChainUnavailable, Unreadable (more than so many bytes).
    """
    try:
        with closing(_connected(access, until)) as connection:
            connection.settimeout(_left(until))
            connection.sendall(_request(access, body))
            said = _everything(connection, until, most_bytes)
    except OSError as error:
        raise ChainUnavailable(_told(error)) from None
    return _body(said)


def _left(until: float) -> float:
    """Raises: TimeoutError."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _told(error: OSError) -> str:
    """Of the system's words only: nobody else's."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return "its certificate is not trusted, or it speaks no TLS"
    return error.strerror or type(error).__name__


def _connected(access: Access, until: float) -> socket.socket:
    problem: OSError = TimeoutError()
    for address in _addresses(access, until):
        try:
            plain = socket.create_connection((address, access.port), _left(until))
        except OSError as error:
            problem = error
            continue
        return _wrapped(access, plain, until) if access.is_tls else plain
    raise problem


def _wrapped(access: Access, plain: socket.socket, until: float) -> socket.socket:
    try:
        trust = ssl.create_default_context(cafile=access.certificate or None)
        plain.settimeout(_left(until))
        return trust.wrap_socket(plain, server_hostname=access.host)
    except BaseException:
        plain.close()
        raise


def _addresses(access: Access, until: float) -> list[str]:
    """A name is looked up in a thread that is left behind: nothing ends the system's own patience earlier."""
    try:
        return [str(ip_address(access.host))]
    except ValueError:
        found: list[str] = []
    looking = Thread(target=_look_up, args=(access, found), name="resolve", daemon=True)
    looking.start()
    looking.join(_left(until))
    if not found:
        raise OSError(0, "its name cannot be resolved")
    return found


def _look_up(access: Access, found: list[str]) -> None:
    try:
        answers = socket.getaddrinfo(access.host, access.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # ValueError: the codec of names
        return
    found.extend(str(where[0]) for *_, where in answers)


def _request(access: Access, body: bytes) -> bytes:
    host = f"[{access.host}]" if ":" in access.host else access.host
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}:{access.port}\r\nAuthorization: {access.authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _everything(connection: socket.socket, until: float, most_bytes: int) -> bytes:
    """All until the other side ends it. Raises: OSError, Unreadable."""
    said = bytearray()
    while len(said) <= most_bytes:
        connection.settimeout(_left(until))
        piece = connection.recv(_PIECE_BYTES)
        if not piece:
            return bytes(said)
        said += piece
    raise Unreadable("the answer is too long")


class _Said:
    """What was received, for who reads from a connection."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._said)


def _body(said: bytes) -> bytes:
    answer = HTTPResponse(cast(socket.socket, _Said(said)), method="POST")
    try:
        answer.begin()
        body = answer.read()
    except (HTTPException, ValueError, OSError):
        raise ChainUnavailable("its answer breaks off, or is none") from None
    if answer.status == 401:
        raise ChainUnavailable("it refuses our user and password")
    if answer.status != 200:
        raise ChainUnavailable(f"it answers with status {answer.status}")
    return body
