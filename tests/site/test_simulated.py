"""What a visitor does: `make run` with nothing configured, and `make buy` beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.test_run import ROOT, UNREACHABLE_NODE, Server, home
from tests.site.test_supervisor import eventually

__all__ = ["home"]

NO_NODE = {"LND_GRPC": "", "LND_MACAROON": "", "LND_NETWORK": "", "LND_TLS_CERT": ""}


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    """The server on its simulated node, ready."""
    running = Server(home, **NO_NODE)
    running.wait_for("LSP ready at http://")
    yield running
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(90)
    eventually(lambda: not running.processes())


def buy(server: Server, *arguments: str) -> str:
    server.environment["LSP_HOME"] = str(server.home / "simulated")
    process = server.manage("buy", *arguments)
    try:
        said, _ = process.communicate(timeout=150)
    finally:
        server.environment["LSP_HOME"] = str(server.home)
    assert process.returncode == 0, said
    return said


def test_a_visitor_sees_a_channel_sold_each_way(server: Server) -> None:
    for arguments in ((), ("--rail", "onchain"), ("--claim", "lnurl"), ("--peer", "offline")):
        said = buy(server, *arguments)
        assert "the order is OPEN (500)" in said, arguments
        assert "channel usable" in said and "funding published" in said


def test_a_configured_node_has_a_wallet_of_its_own(home: Path) -> None:
    environment = {**os.environ, "LSP_ENV_FILE": "", "LSP_HOME": str(home), **UNREACHABLE_NODE}
    environment["DJANGO_SETTINGS_MODULE"] = "lsp_site.settings"
    command = [sys.executable, str(ROOT / "manage.py"), "buy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "the wallet is yours" in done.stderr
