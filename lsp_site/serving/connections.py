"""One client's connection: what it has sent, what it is owed, and by when it must have moved on."""

from __future__ import annotations

import socket
from contextlib import suppress
from enum import Enum
from os import SEEK_END
from tempfile import TemporaryFile
from typing import IO, Any, Final

from lsp_site.serving.framing import Frame, Framing

#: A request, head and body, from its first byte. Nobody waits for it but its own connection.
REQUEST_SECONDS: Final = 20.0
#: An answer, until the client has taken all of it.
ANSWER_SECONDS: Final = 60.0
#: After the last answer: what the client still sends is thrown away, else it might lose the answer.
LINGER_SECONDS: Final = 2.0
#: Of one answer.
MOST_IN_MEMORY: Final = 1024 * 1024
_READ_BYTES: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Stage(Enum):
    """What the connection waits for."""

    IDLE = "the client's next request"
    READING = "the rest of a request"
    WORKING = "us"
    SENDING = "the client to take its answer"
    LINGERING = "the client to hang up"


class Outlet:
    """What is written for a client, as gunicorn writes it: kept, so that no thread waits until it is taken.

    Of a large answer only the beginning is in memory, and the rest in a file without a name.
    """

    def __init__(self) -> None:
        self.kept = bytearray()
        self._rest: IO[bytes] | None = None
        self._taken = 0

    def sendall(self, data: bytes) -> None:
        """It will be sent."""
        if self._rest is None and len(self.kept) + len(data) <= MOST_IN_MEMORY:
            self.kept += data
            return
        if self._rest is None:
            self._rest = TemporaryFile()  # noqa: SIM115  it lives as long as the answer
        self._rest.seek(0, SEEK_END)
        self._rest.write(data)

    @property
    def is_in_memory(self) -> bool:
        """All that is left of it."""
        return self._rest is None

    def refill(self) -> bool:
        """Whether there is something to send: what comes next of a large answer is in memory."""
        if not self.kept and self._rest is not None:
            self._rest.seek(self._taken)
            self.kept += self._rest.read(MOST_IN_MEMORY)
            self._taken += len(self.kept)
            if not self.kept:
                self.forget()
        return bool(self.kept)

    def forget(self) -> None:
        """Nothing is left to send. Repeat: safe."""
        self.kept.clear()
        if self._rest is not None:
            self._rest.close()
        self._rest, self._taken = None, 0

    def gettimeout(self) -> float:
        """It never blocks."""
        return 0.0

    def shutdown(self, how: int) -> None:
        """Half an answer is not sent: the connection is closed instead."""
        self.forget()

    def recv(self, size: int) -> bytes:
        """Nothing more is read here."""
        return b""

    def settimeout(self, seconds: float) -> None:
        """It never blocks."""

    def close(self) -> None:
        """The connection's owner closes it."""


class Connection:
    """The names `sock`, `client`, `server` are those that gunicorn's code knows."""

    def __init__(self, accepted: socket.socket, client: Any, server: Any, most_body_bytes: int) -> None:
        self.socket = accepted
        self.sock = Outlet()
        self.client, self.server = client, server
        self.stage = Stage.IDLE
        self.since = self.deadline = 0.0  # of the monotonic clock: in this stage, and until when
        self.is_last = False  # no further request is read
        self.is_watched = False  # the system tells the loop what happens on it
        self._most_body_bytes = most_body_bytes
        self._received = bytearray()
        self._framing = Framing(most_body_bytes)
        self._told = False
        self._thrown_away = 0

    @property
    def address(self) -> str:
        """Whose it is, as far as a connection tells."""
        return str(self.client[0]) if isinstance(self.client, tuple) else str(self.client)

    @property
    def head(self) -> bytes:
        """Of the request that is being read or answered."""
        return self._framing.head

    @property
    def has_begun(self) -> bool:
        """A part of a request is there."""
        return bool(self._received)

    @property
    def is_sent(self) -> bool:
        """Nothing is left to send."""
        return not self.sock.kept and self.sock.is_in_memory

    def enter(self, stage: Stage, now: float, seconds: float) -> None:
        """It waits for something else now, and so long at most. The stage last: whoever sees it sees until when."""
        self.since, self.deadline, self.stage = now, now + seconds, stage

    def read(self) -> bool:
        """What has come is taken in. False: nothing more will come. Raises: OSError."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        self._received += data
        self.is_last = self.is_last or not data
        return bool(data)

    def next_request(self) -> Frame | None:
        """The request that has come whole, or that cannot; None: it has not yet."""
        frame = self._framing.frame(self._received)
        if frame is None and self.is_last and self._received:
            return Frame(len(self._received), is_last=True)
        return frame

    def tell_to_go_on(self) -> None:
        """A client that asks before it sends its body was answered."""
        if not self._told and self.head and self._framing.wants_to_be_told:
            self._told = True
            with suppress(OSError):
                self.socket.send(_CONTINUE)

    def take(self, frame: Frame) -> bytes:
        """The request's bytes; what follows them is the next one's."""
        self.is_last = self.is_last or frame.is_last
        taken = bytes(self._received[: frame.end])
        del self._received[: frame.end]
        return taken

    def begin_anew(self) -> None:
        """The last request is answered."""
        self._framing, self._told = Framing(self._most_body_bytes), False

    def send(self) -> bool:
        """Whether all of the answer is with the client's system by now. Raises: OSError."""
        while self.sock.refill():
            try:
                del self.sock.kept[: self.socket.send(self.sock.kept)]
            except BlockingIOError:
                return False
        return True

    def throw_away(self) -> bool:
        """What the client still sends is read and forgotten. False: it has hung up, or sends without an end."""
        try:
            gone = len(self.socket.recv(_READ_BYTES))
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._thrown_away += gone
        return gone > 0 and self._thrown_away <= 4 * self._most_body_bytes

    def close(self) -> None:
        """It is closed. Repeat: safe."""
        self.sock.forget()
        with suppress(OSError):
            self.socket.close()
