"""The server on the network's node: its database, and its web and streams processes as a supervisor starts them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from lightning import connection as lightning
from lightning.node import LndNode
from lsp_site.running.embedded import DATABASE, EmbeddedPostgres, data_folder
from tests.bench import processor
from tests.regtest.network import Network
from tests.regtest.processes import Program, free_port, release_port
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

ROOT = Path(__file__).resolve().parents[2]
#: The smallest channel that the first service sells.
REQUEST = {"local_balance": 100_000, "remote_balance": 0, "channel_expiry": 1}
#: Nothing but the work itself limits a purchase.
UNLIMITED = {
    "BUY_RATE": "1000000/min",
    "READ_RATE": "1000000/min",
    "CLAIM_RATE": "1000000/min",
    "UNPAID_ORDERS_PER_CLIENT": "1000000",
    "UNPAID_SHARE_PERCENT": "100",
}


class Shop:
    """The server in processes of its own, and its domain in this one, on the same database and node."""

    def __init__(self, network: Network | SimulatedNetwork, **environment: str) -> None:
        self.network = network
        self._more = environment
        self.port = free_port()
        self._postgres = EmbeddedPostgres(settings.LSP_HOME)  # durable, as in production
        self._web = Program("web", settings.LSP_HOME / "web.log")
        self._streams = Program("streams", settings.LSP_HOME / "streams.log")
        self._worker = Program("worker", settings.LSP_HOME / "worker.log")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # also Ctrl-C: half a server must not stay behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        lsp = self.network.lsp
        settings.LND_GRPC, settings.LND_NETWORK = lsp.grpc_address, "regtest"
        settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
        settings.UNPAID_ORDERS_PER_CLIENT, settings.UNPAID_SHARE_PERCENT = 1_000_000, 100
        settings.BUY_RATE = UNLIMITED["BUY_RATE"]
        with (settings.LSP_HOME / "postgres.log").open("wb") as log:
            self._postgres.start(output=log)
        call_command("migrate", interactive=False, verbosity=0)
        gunicorn = ("-m", "gunicorn", "--config", "python:lsp_site.running.gunicorn", "lsp_site.wsgi")
        self._web.launch(self._command(*gunicorn))
        until(self._answers, "the API answers")

    def stop(self) -> None:
        """Every process has ended, and the database is gone: another shop begins anew. Repeat: safe."""
        self._web.terminate()
        self._streams.terminate()
        self._worker.terminate()
        connection.close()
        self._postgres.stop()
        shutil.rmtree(data_folder(settings.LSP_HOME), ignore_errors=True)
        release_port(self.port)

    @property
    def node(self) -> LndNode:
        return lightning.node()

    @property
    def postgres_pid(self) -> int:
        """The process that has all the others of the database."""
        assert self._postgres.process is not None
        return int(self._postgres.process.pid)

    def processor_seconds(self) -> dict[str, float]:
        """What each part of it all has taken so far."""
        postgres = self._postgres.process
        assert postgres is not None
        parts = {"web": self._web.pid, "PostgreSQL": postgres.pid, "node": self.network.lsp.pid}
        seconds = processor.seconds(parts | self._engines())
        return seconds | {"clients": time.process_time()} if seconds else {}

    def memory_bytes(self) -> dict[str, int]:
        """What the streams process and the worker have of the machine's memory, where they run."""
        return processor.memory_bytes(self._engines())

    def _engines(self) -> dict[str, int]:
        return {program.name: program.pid for program in (self._streams, self._worker) if program.is_running}

    @contextmanager
    def worker(self) -> Iterator[None]:
        """The worker does what is to be done each minute."""
        self._worker.launch(self._command(str(ROOT / "manage.py"), "qcluster"))
        try:
            yield
        finally:
            self._worker.terminate()

    @contextmanager
    def streams(self, **environment: str) -> Iterator[Program]:
        """The streams process listens to the node."""
        self._streams.log.unlink(missing_ok=True)
        self._streams.launch(self._command(str(ROOT / "manage.py"), "run_streams", **environment))
        try:
            until(self._listens, "the streams process listens to the node")
            yield self._streams
        finally:
            self._streams.terminate()

    def _listens(self) -> bool:
        assert self._streams.pid
        return "the node is listened to" in self.streams_log()

    def streams_log(self) -> str:
        return self._streams.log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._web.pid
        try:
            with closing(self.client()) as client:
                client.request("GET", "/node/info")
                return client.getresponse().status == 200
        except OSError:
            return False

    def _command(self, *arguments: str, **environment: str) -> list[str]:
        env = shutil.which("env")
        assert env is not None
        return [
            env,
            "-i",
            *(f"{name}={value}" for name, value in (self._environment() | environment).items()),
            sys.executable,
            *arguments,
        ]

    def _environment(self) -> dict[str, str]:
        lsp = self.network.lsp
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **passed_on,
            **UNLIMITED,
            "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
            "PYTHONPATH": str(ROOT),
            "LSP_ENV_FILE": "",
            "LSP_HOME": str(settings.LSP_HOME),
            "DATABASE_URL": self._postgres.url(),
            "LISTEN": f"127.0.0.1:{self.port}",
            "LND_GRPC": lsp.grpc_address,
            "LND_TLS_CERT": str(lsp.tls_certificate),
            "LND_MACAROON": str(lsp.admin_macaroon),
            "LND_NETWORK": "regtest",
            "LIGHTNING_NODE": "tests.bench.timed_node.TimedNode",
            **self._more,
        }

    def client(self) -> http.client.HTTPConnection:
        """A connection of its own, kept alive between requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def buy(self, client: http.client.HTTPConnection, *, tries: int = 1, **more: Any) -> dict[str, Any]:
        """The quote of a new order. Who may try again does where he is asked to, as after a block that concerns many.

        Raises: RuntimeError for any other answer.
        """
        status, content = self._answer_to(client, json.dumps(REQUEST | more))
        if status == 503 and tries > 1:
            time.sleep(1)
            return self.buy(client, tries=tries - 1, **more)
        if status != 200:
            raise RuntimeError(f"POST /channel/buy answered {status}: {content[:300]!r}")
        return dict(json.loads(content))

    def _answer_to(self, client: http.client.HTTPConnection, body: str) -> tuple[int, bytes]:
        client.request("POST", "/channel/buy", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        return answer.status, answer.read()

    def copied_database(self, name: str) -> BaseDatabaseWrapper:
        """A connection to a copy of the database. The server is cut off for a moment, and comes back by itself."""
        connection.close()
        with psycopg.connect(self._postgres.url("postgres"), autocommit=True) as aside:
            aside.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [DATABASE])
            aside.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(DATABASE))
            )
        copy = connections[DEFAULT_DB_ALIAS].copy()
        copy.settings_dict["NAME"] = name
        return copy

    @contextmanager
    def using(self, database: BaseDatabaseWrapper) -> Iterator[None]:
        """Our domain in this thread works on this database."""
        usual = connections[DEFAULT_DB_ALIAS]
        connections[DEFAULT_DB_ALIAS] = database
        try:
            yield
        finally:
            connections[DEFAULT_DB_ALIAS] = usual
