"""`make run` with no node configured: the server on a simulated node, to be tried in a minute with Python alone."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from lsp_site.running import beside
from lsp_site.running.playground import ROOT, World
from lsp_site.running.processes import Program

#: A block comes by itself, so that a channel opens while one watches.
BLOCK_SECONDS = 5

COMMANDS = """
No node is configured: this is a simulated one, its coins are worth nothing. Set LND_GRPC, LND_MACAROON and
LND_NETWORK for yours (docs/configuration.md); `make regtest` has real lnd nodes on a chain of their own.

In another terminal, in this folder, a purchase step by step, as a wallet makes it:

  {make} buy
  {make} buy RAIL=onchain
  {make} buy PEER=offline
  {make} buy CLAIM=lnurl

A first payment, received over a channel that there was not:

  {make} jit

A staff account for {base}/admin/:  {make} admin
Other commands beside the server:    LSP_ENV_FILE={home}/server.env .venv/bin/python manage.py order ID
Ctrl-C ends all of it; what was sold is there again at the next start.
"""


def world(lsp_home: Path, server_listen: str) -> World:
    """A simulated node, its chain and its customers; they and the server's database are kept in `lsp_home`."""
    home = lsp_home / "simulated"
    folder = home / "node"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    listen = f"127.0.0.1:{_port(folder)}"
    (folder / "listen").write_text(listen)
    manage = (sys.executable, str(ROOT / "manage.py"))
    command = (
        *("env", "LSPS2_ENABLED=on"),  # it asks about what it passes on, as the server that follows wants it
        *manage,
        "run_simulator",
        "--home",
        str(folder),
        "--listen",
        listen,
        "--block-seconds",
        str(BLOCK_SECONDS),
    )
    return World(
        program=Program("node", command, stop_seconds=15),
        is_ready=lambda: _listens(listen),
        settings=lambda: {
            "LND_GRPC": listen,
            "LND_TLS_CERT": str(folder / "tls.cert"),
            "LND_MACAROON": str(folder / "admin.macaroon"),
            "LND_NETWORK": "regtest",
            # So that a wallet can be paid that has no channel (`make jit`); the node says that it is an old LND.
            "LSPS2_ENABLED": "on",
            "LSPS2_ON_OLD_LND": "on",
        },
        home=home,
        keeps_home=True,
        commands=COMMANDS,
        make=beside.make(lsp_home, server_listen),
    )


def _port(folder: Path) -> int:
    """The port of the last time where it is free, so that what points there still does; else any."""
    kept = folder / "listen"
    wanted = int(kept.read_text().rpartition(":")[2]) if kept.exists() else 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0
