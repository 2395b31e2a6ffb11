"""Nodes that take a connection and then do not go on: strangers for a real lnd, each a listener and its threads."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

from tests.regtest.bolt8 import HungUp, Line, compressed, new_secret

INIT, PING, PONG, OPEN_CHANNEL, ACCEPT_CHANNEL = 16, 18, 19, 32, 33
#: What lnd asks of a peer or needs for a channel, as optional features (BOLT 9): data_loss_protect, upfront shutdown,
#: var_onion, static_remotekey, payment_secret, basic_mpp, anchors, shutdown_anysegwit, channel_type.
_FEATURES: Final = sum(1 << bit for bit in (1, 5, 9, 13, 15, 17, 23, 27, 45)).to_bytes(6, "big")
_CHANNEL_TYPE: Final = 1

#: What it never says: its answer to our offer, or its signature.
Withheld = Literal["answer", "signature"]


class SilentPeer:
    """One node, from `start` to `stop`."""

    def __init__(self, withholds: Withheld) -> None:
        self._secret = new_secret()
        self._withholds = withholds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def p2p_address(self) -> str:
        return f"{compressed(self._secret).hex()}@127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError, HungUp, ValueError), connection:
            line = Line(connection, self._secret)
            line.send(struct.pack(">HHH", INIT, 0, len(_FEATURES)) + _FEATURES)
            for message in line.messages():
                answer = self._answer(message)
                if answer:
                    line.send(answer)

    def _answer(self, message: bytes) -> bytes | None:
        [kind] = struct.unpack_from(">H", message)
        if kind == PING:
            [wanted] = struct.unpack_from(">H", message, 2)
            return struct.pack(">HH", PONG, wanted) + bytes(wanted)
        if kind == OPEN_CHANNEL and self._withholds == "signature":
            return accepted(message)
        return None


def accepted(offer: bytes) -> bytes:
    """The answer of BOLT 2 to an `open_channel`, with its own limits and fresh keys."""
    body = offer[2:]
    temporary_id, limits = body[32:64], body[80:]
    dust, most, reserve, least = struct.unpack_from(">QQQQ", limits)
    delay, htlcs = struct.unpack_from(">HH", limits, 36)
    keys = b"".join(compressed(new_secret()) for _ in range(6))
    terms = struct.pack(">QQQQIHH", dust, most, max(reserve, dust), least, 3, delay, htlcs)
    return struct.pack(">H", ACCEPT_CHANNEL) + temporary_id + terms + keys + b"\x00\x00" + _type_of(limits)


def _type_of(limits: bytes) -> bytes:
    """The record of the channel's type, if the offer has one: it must come back as it is."""
    rest = limits[40 + 6 * 33 + 1 :]
    while len(rest) >= 2:
        kind, length = rest[0], rest[1]
        if kind == _CHANNEL_TYPE:
            return rest[: 2 + length]
        rest = rest[2 + length :]
    return b""


@contextmanager
def silent_peers(count: int) -> Iterator[list[str]]:
    """Addresses of so many: half of them say nothing to the offer, half withhold their signature."""
    peers = [SilentPeer("signature" if number % 2 else "answer") for number in range(count)]
    try:
        yield [peer.p2p_address for peer in peers]
    finally:
        for peer in peers:
            peer.stop()
