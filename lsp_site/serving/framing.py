"""Where a request ends in what a client has sent so far. HTTP/1.1 (RFC 9112), as far as our server speaks it.

This only finds the end. Whether the request is a good one, gunicorn's parser says, which is given these bytes and no
others; where the two could differ (`Frame.is_last`) nothing that follows is taken for a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Our longest query has fifty ids of orders, a browser's cookies some kilobytes.
MOST_HEAD_BYTES: Final = 32 * 1024
_END: Final = b"\r\n\r\n"
_LENGTH = re.compile(rb"\d{1,9}")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_MOST_LINE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """The first so many bytes are a request, or all that will ever be read of it."""

    end: int
    is_last: bool = False  # where the next request begins is not known, or there is none


_Body = Callable[[bytearray], Frame | None]


class Framing:
    """One request while it comes in."""

    def __init__(self, most_body_bytes: int) -> None:
        self._most_body_bytes = most_body_bytes
        self._searched = 0
        self._body: _Body | None = None
        self.head = b""

    @property
    def wants_to_be_told(self) -> bool:
        """The client sends its body when it hears that we read it (`Expect: 100-continue`)."""
        return b"100-continue" in b",".join(_values(self.head, b"expect")).lower()

    def frame(self, received: bytearray) -> Frame | None:
        """The request in what was received; None: more has to come."""
        if self._body is None:
            end = received.find(_END, max(0, self._searched - len(_END)), MOST_HEAD_BYTES)
            self._searched = len(received)
            if end < 0:
                return Frame(len(received), is_last=True) if len(received) >= MOST_HEAD_BYTES else None
            end += len(_END)
            self.head = bytes(received[:end])
            self._body = _body(self.head, end, self._most_body_bytes)
        return self._body(received)


def _body(head: bytes, end: int, most_bytes: int) -> _Body:
    lengths = _values(head, b"content-length")
    codings = _values(head, b"transfer-encoding") if b"transfer-encoding" in head.lower() else []
    if not codings and not lengths:
        return lambda received: Frame(end)
    if [coding.lower() for coding in codings] == [b"chunked"] and not lengths:
        return _Chunks(end, most_bytes).frame
    if not codings and len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) and int(lengths[0]) <= most_bytes:
        whole = end + int(lengths[0])
        return lambda received: Frame(whole) if len(received) >= whole else None
    return _unread  # too large, or nothing that we know: refused unread


def _unread(received: bytearray) -> Frame:
    return Frame(len(received), is_last=True)


def _values(head: bytes, wanted: bytes) -> list[bytes]:
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.strip(b" \t") for name, _, value in fields if name.strip(b" \t").lower() == wanted]


class _Chunks:
    """A body that comes in chunks, each with its length before it."""

    def __init__(self, start: int, most_bytes: int) -> None:
        self._start = self._next = start  # where the next chunk begins
        self._bytes = 0  # of what the chunks before it hold
        self._most_bytes = most_bytes
        self._has_all = False

    def frame(self, received: bytearray) -> Frame | None:
        """All of it with its trailers. Of one that is too large, enough to see that."""
        if len(received) - self._start > 2 * self._most_bytes + MOST_HEAD_BYTES:
            return _unread(received)
        while not self._has_all:
            line_end = received.find(b"\r\n", self._next, self._next + _MOST_LINE_BYTES)
            if line_end < 0:
                return _unread(received) if len(received) - self._next >= _MOST_LINE_BYTES else None
            size = received[self._next : line_end].partition(b";")[0].rstrip(b" \t")
            if not _CHUNK_SIZE.fullmatch(size):
                return _unread(received)
            data, length = line_end + 2, int(size, 16)
            if self._bytes + length > self._most_bytes:
                enough = data + self._most_bytes + 1 - self._bytes
                return _unread(received) if len(received) >= enough else None
            if length and len(received) < data + length + 2:
                return None
            if length and received[data + length : data + length + 2] != b"\r\n":
                return _unread(received)
            self._next = data + length + 2 if length else data
            self._bytes += length
            self._has_all = not length
        return self._trailers(received)

    def _trailers(self, received: bytearray) -> Frame | None:
        if received[self._next : self._next + 2] == b"\r\n":
            return Frame(self._next + 2)
        end = received.find(_END, self._next)
        if end >= 0:
            return Frame(end + len(_END))
        return _unread(received) if len(received) - self._next > MOST_HEAD_BYTES else None
