"""The whole server, as it is started for real, with a database of its own; asked as anybody asks it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from lsp_site.running.embedded import EmbeddedPostgres
from tests.attack.client import Client
from tests.regtest.processes import Program, free_port, release_port
from tests.regtest.waiting import until

ROOT: Final = Path(__file__).resolve().parents[1]


class Node(Protocol):
    """What the server has to know of its node."""

    tls_certificate: Path
    admin_macaroon: Path

    @property
    def grpc_address(self) -> str: ...


class Served:
    """`manage.py run` behind a proxy that everybody may be: a client has as many addresses as he likes."""

    def __init__(self, home: Path, node: Node, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self._node = node
        self._settings = settings
        self._program = Program("server", home / "server.log")
        self._database: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """It sells."""
        manage = [sys.executable, str(ROOT / "manage.py"), "run"]
        self._program.launch(["/usr/bin/env", "-i", *self.environment(), *manage])
        until(self._sells, "the server sells", timeout=60)

    def stop(self) -> None:
        """It has ended, and nothing is left. Repeat: safe."""
        if self._database is not None:
            self._database.close()
        self._program.terminate(timeout=90)
        release_port(self.port)
        shutil.rmtree(self.home, ignore_errors=True)

    def environment(self) -> list[str]:
        """NAME=value of all that a program of this server's needs."""
        settings = {
            "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
            "LSP_ENV_FILE": "",
            "LSP_HOME": str(self.home),
            "DATABASE_URL": "",
            "LISTEN": f"127.0.0.1:{self.port}",
            "TRUSTED_PROXIES": "1",
            "LND_GRPC": self._node.grpc_address,
            "LND_TLS_CERT": str(self._node.tls_certificate),
            "LND_MACAROON": str(self._node.admin_macaroon),
            "LND_NETWORK": "regtest",
        }
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return [f"{name}={value}" for name, value in {**passed_on, **settings, **self._settings}.items()]

    def _sells(self) -> bool:
        assert self.pid
        with suppress(OSError, ValueError):
            answer = self.client("127.0.0.1").ask("GET", "/node/info")
            return answer.status == 200 and answer.said["services"][0]["available"] is True
        return False

    @property
    def pid(self) -> int:
        """Raises: ProgramDied."""
        return self._program.pid

    def client(self, address: str) -> Client:
        """Somebody who asks from this address."""
        return Client(self.port, address)

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What the database says. For one thread."""
        if self._database is None:
            self._database = psycopg.connect(EmbeddedPostgres(self.home).url(), autocommit=True)
        return self._database.execute(query, arguments).fetchall()

    def log(self) -> str:
        """What the server has said."""
        return self._program.log.read_text(errors="replace")

    def health(self) -> dict[str, Any]:
        """What /healthz says. Raises: OSError."""
        return dict(json.loads(json.dumps(self.client("127.0.0.1").ask("GET", "/healthz", seconds=30).said)))
