"""The whole server, as it is started for real, on a simulated node with 1 BTC: all of it in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from lsp_site.running.embedded import EmbeddedPostgres
from tests.attack.client import Client
from tests.regtest.processes import Program, free_port, release_port
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNode

ROOT = Path(__file__).resolve().parents[2]
COINS: Final = 10
COIN_SAT: Final = 10_000_000
BLOCK_SECONDS: Final = 3
#: sat/kW: 2 sat/vB.
CALM_SAT_PER_KW: Final = 500


class Shop:
    """Default settings, behind a proxy that everybody may be: an attacker has as many addresses as he likes."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lsp-attack-"))
        self.node = SimulatedNode(
            "lsp", self.home / "node", coins=COINS, coin_sat=COIN_SAT, block_seconds=BLOCK_SECONDS
        )
        self.port = free_port()
        self._server = Program("server", self.home / "server.log")
        self._database: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        try:
            self.node.start()
            self.node.control.mine(6)  # the coins are deep
            self.node.control.set_fees(CALM_SAT_PER_KW)
            self._server.launch(["/usr/bin/env", *self._settings(), sys.executable, str(ROOT / "manage.py"), "run"])
            until(self._sells, "the server sells", timeout=60)
        except BaseException:  # also Ctrl-C: no process may stay behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Everything has ended, and nothing is left."""
        if self._database is not None:
            self._database.close()
        self._server.terminate(timeout=90)
        self.node.kill()
        release_port(self.port)
        release_port(self.node.grpc_port)
        shutil.rmtree(self.home, ignore_errors=True)

    def _settings(self) -> list[str]:
        settings = {
            "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
            "LSP_ENV_FILE": "",
            "LSP_HOME": str(self.home),
            "DATABASE_URL": "",
            "LISTEN": f"127.0.0.1:{self.port}",
            "TRUSTED_PROXIES": "1",
            "LND_GRPC": self.node.grpc_address,
            "LND_TLS_CERT": str(self.node.tls_certificate),
            "LND_MACAROON": str(self.node.admin_macaroon),
            "LND_NETWORK": "regtest",
        }
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return ["-i", *(f"{name}={value}" for name, value in {**passed_on, **settings}.items())]

    def _sells(self) -> bool:
        assert self._server.pid
        with suppress(OSError, ValueError):
            answer = self.client("127.0.0.1").ask("GET", "/node/info")
            return answer.status == 200 and answer.said["services"][0]["available"] is True
        return False

    def client(self, address: str) -> Client:
        """Somebody who asks from this address."""
        return Client(self.port, address)

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What the database says. For one thread."""
        if self._database is None:
            url = EmbeddedPostgres(self.home).url()
            self._database = psycopg.connect(url, autocommit=True)
        return self._database.execute(query, arguments).fetchall()

    def log(self) -> str:
        """What the server has said."""
        return self._server.log.read_text(errors="replace")

    def health(self) -> dict[str, Any]:
        """What /healthz says. Raises: OSError."""
        return dict(json.loads(json.dumps(self.client("127.0.0.1").ask("GET", "/healthz", seconds=30).said)))
