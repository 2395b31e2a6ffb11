"""Who plays the customers reaches the simulator, also on a busy machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from simulator.control import Control
from tests.simulator.network import SimulatedNetwork

#: Longer than the pause between two connections, and than a handshake took on a machine with other work.
_LATE_SECONDS = 0.4


@pytest.fixture
def slow_address(network: SimulatedNetwork) -> Iterator[str]:
    """Leads to the simulator, which hears the beginning of each connection late."""
    host, port = network.lsp.grpc_address.split(":")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    here, _ = server.accept()
                except OSError:
                    return
                there = socket.create_connection((host, int(port)))
                for source, sink, late in ((here, there, _LATE_SECONDS), (there, here, 0)):
                    threading.Thread(target=_pass_on, args=(source, sink, late), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield "{}:{}".format(*server.getsockname())
        server.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, sink: socket.socket, late_seconds: float) -> None:
    time.sleep(late_seconds)
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two is gone


def test_a_handshake_that_takes_its_time_is_waited_for(network: SimulatedNetwork, slow_address: str) -> None:
    control = Control(slow_address, network.lsp.folder)
    try:
        assert control.customers() is not None
    finally:
        control.close()
