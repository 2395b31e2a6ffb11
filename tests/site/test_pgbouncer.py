"""A pooler before the database: by session all holds, by transaction nothing would, and then nothing starts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from lsp_site.running.embedded import EmbeddedPostgres
from orders.nudges import CHANNEL
from orders.postgres import base
from orders.postgres.base import DatabaseWrapper
from streams import standby
from tests.site.documented import blocks
from tests.site.pgbouncer import PROGRAM, PgBouncer
from tests.site.test_run import ROOT, Server
from tests.site.test_supervisor import eventually

pytestmark = pytest.mark.django_db

Pooled = Callable[..., PgBouncer]


@pytest.fixture
def pooled(postgres: EmbeddedPostgres) -> Iterator[Pooled]:
    """Starts PgBouncer with these options."""
    if PROGRAM is None:
        pytest.skip("tests of a pooler skipped: pgbouncer is not installed")
    started: list[PgBouncer] = []

    def start(**options: str) -> PgBouncer:
        started.append(PgBouncer(postgres, **options))
        return started[-1]

    yield start
    for pooler in started:
        pooler.stop()


@pytest.fixture(autouse=True)
def not_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just begun."""
    monkeypatch.setattr(base, "_looked", set())


def documented() -> dict[str, str]:
    """What the page tells operators to set."""
    parsed = ConfigParser()
    parsed.read_string(blocks("docs/operating.md", "The database", "ini")[0].text)
    return dict(parsed["pgbouncer"])


def by(pooler: PgBouncer, **options: Any) -> DatabaseWrapper:
    """Django's connection by way of the pooler."""
    reached = {"HOST": pooler.host, "PORT": pooler.port, "USER": "postgres", "OPTIONS": options}
    return DatabaseWrapper({**connection.settings_dict, **reached}, "pooled")


def timeouts(line: DatabaseWrapper) -> list[str]:
    with line.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')")
        return list(cursor.fetchone() or ())


def test_found_d7_behind_a_pooler_by_session_the_time_outs_hold_on_each_connection(pooled: Pooled) -> None:
    pooler = pooled(**documented())
    lines = [by(pooler), by(pooler)]
    assert [timeouts(line) for line in lines] == [["30s", "1min"]] * 2
    lines[0].set_autocommit(False)
    assert timeouts(lines[0]) == ["30s", "1min"]
    lines[0].rollback()
    assert timeouts(lines[0]) == ["30s", "1min"], "a rollback must not take them back"
    for line in lines:
        line.close()


def test_found_d7_time_outs_cannot_be_lost_to_what_else_a_url_asks_for(postgres: EmbeddedPostgres) -> None:
    line = connection.copy()
    line.settings_dict = {**line.settings_dict, "OPTIONS": {"options": "-c lock_timeout=0 -c statement_timeout=5s"}}
    assert isinstance(line, DatabaseWrapper) and timeouts(line) == ["30s", "1min"]
    line.close()


def test_found_d7_a_connection_that_cannot_be_prepared_is_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr("orders.postgres.session.prepare", fails)
    line = connection.copy()
    for _ in range(2):
        with pytest.raises(OperationalError, match="gone"):
            line.ensure_connection()
    assert line.connection is None


def test_found_d7_streams_locks_and_listens_by_way_of_a_pooler_by_session(
    pooled: Pooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = standby.database() | {"host": (pooler := pooled(**documented())).host, "port": pooler.port}

    async def work() -> tuple[str, list[str], bool]:
        async with standby.alone(parameters) as line:
            found = await (await line.execute("SELECT current_setting('lock_timeout')")).fetchone()
            async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as other:
                second = await standby._obtained(other)
                await other.execute("SELECT pg_notify(%s, 'a nudge')", [CHANNEL])
                heard = [notice.payload async for notice in line.notifies(timeout=10, stop_after=1)]
            assert found is not None
            return found[0], heard, second

    assert asyncio.run(work()) == ("30s", ["a nudge"], False)


@pytest.mark.parametrize(
    "options",
    [
        {"pool_mode": "transaction"},
        {"pool_mode": "statement"},
        {"pool_mode": "transaction", "server_round_robin": "1"},
        {"pool_mode": "transaction", "server_reset_query_always": "1"},
    ],
    ids=lambda options: " ".join(options.values()),
)
def test_found_d7_a_pooler_by_transaction_is_refused(pooled: Pooled, options: dict[str, str]) -> None:
    pooler = pooled(**options)
    if options["pool_mode"] == "transaction":
        hold_two_at_once(pooler)
    line = by(pooler)
    for _ in range(2):
        with pytest.raises(OperationalError, match="pool by session"):
            line.ensure_connection()


def hold_two_at_once(pooler: PgBouncer) -> None:
    """So that it has several connections to give out."""
    url = pooler.url(connection.settings_dict["NAME"])
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        one.execute("SELECT 1")
        other.execute("SELECT 1")


def test_found_d7_each_process_looks_once(pooled: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr("orders.postgres.session.refuse_if_shared", lambda *_: looks.append(1))
    pooler = pooled(**documented())
    for _ in range(3):
        (line := by(pooler)).ensure_connection()
        line.close()
    assert len(looks) == 1


def test_found_d7_nothing_starts_behind_a_pooler_by_transaction(
    pooled: Pooled, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "lsp_site.settings", "LSP_HOME": str(tmp_path)}
    environment["DATABASE_URL"] = pooled(pool_mode="transaction").url("lsp")
    manage = [sys.executable, str(ROOT / "manage.py")]
    started = subprocess.run([*manage, "migrate"], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert (started.returncode, started.stdout) == (1, "")
    assert "pool_mode = session" in started.stderr and "Traceback" not in started.stderr
    told = subprocess.run([*manage, "doctor", "--json"], env=environment, capture_output=True, text=True, cwd=ROOT)
    findings = {finding["name"]: finding for finding in json.loads(told.stdout)}
    assert findings["database"]["health"] == "failure" and "by session" in findings["database"]["seen"]


def test_found_d7_the_whole_server_runs_behind_a_pooler_by_session(
    pooled: Pooled, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as aside:
        aside.execute("CREATE DATABASE behind_a_pooler")
    server = Server(tmp_path, DATABASE_URL=pooled(**documented()).url("behind_a_pooler"))
    try:
        server.wait_for("LSP ready at ")
        assert eventually(lambda: "streams" in json.loads(server.get("/healthz"))["heartbeats"])
    finally:
        server.process.terminate()
        server.process.wait(90)
        server.output.close()
