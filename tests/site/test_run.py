"""The server as it is started: real processes, a database of its own, no node that answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.regtest.processes import free_port
from tests.site.test_supervisor import eventually

ROOT = Path(__file__).resolve().parents[2]
UNREACHABLE_NODE = {"LND_GRPC": "127.0.0.1:1", "LND_MACAROON": "02" * 40, "LND_NETWORK": "regtest"}


def free_address() -> str:
    """Where nobody listens, nor will before the caller does."""
    return f"127.0.0.1:{free_port()}"


class Server:
    """One `manage.py run`."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.listen = free_address()
        settings = {"LSP_ENV_FILE": "", "LSP_HOME": str(home), "LISTEN": self.listen, "DATABASE_URL": ""}
        settings |= {"DJANGO_SETTINGS_MODULE": "lsp_site.settings", **UNREACHABLE_NODE, **environment}
        self.home = home
        self.environment = {**os.environ, **settings}
        self.said: list[str] = []
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        return self.manage("run")

    def manage(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def wait_for(self, beginning: str) -> str:
        for line in self.output:
            self.said.append(line)
            if line.startswith(beginning):
                return line.rstrip("\n")
        raise AssertionError("".join(self.said))

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.listen}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def processes(self) -> list[str]:
        """The command lines of all that belongs to this home."""
        return [command for _, command in self._processes()]

    def niceness(self, word: str) -> set[int]:
        """Of all whose command line has this word: who goes first where the processor is short (less: earlier)."""
        return {os.getpriority(os.PRIO_PROCESS, pid) for pid, command in self._processes() if word in command}

    def _processes(self) -> list[tuple[int, str]]:
        mark = f"LSP_HOME={self.home}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append((int(folder.name), command))
            except OSError:
                continue
        return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Short, as the path of a socket must be. One for all: a database is made once, and outlives its servers."""
    folder = Path(tempfile.mkdtemp(prefix="lsp-run-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    server = Server(home / "one")
    yield server
    server.process.kill()
    server.process.wait()
    server.output.close()
    assert eventually(lambda: server.processes() == [])


def test_the_server_starts_says_where_it_is_and_ends_with_everything(server: Server) -> None:
    assert server.wait_for("LSP ready at ") == f"LSP ready at http://{server.listen}"
    assert f"no password is preset: `LSP_HOME={server.home} make admin`" in server.wait_for("  Nobody can log in yet")
    assert json.loads(server.get("/healthz"))["database"] is True
    assert b"openapi: 3.1.0" in server.get("/openapi.yaml")
    assert len(server.get("/static/admin/css/base.css")) > 1000
    own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
    assert server.niceness("gunicorn") == {own, own + 5}  # its main process and those that answer
    assert server.niceness("run_streams") == server.niceness("qcluster") == {own}
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("Stopping: ")
    assert (server.process.wait(90), server.processes()) == (0, [])


def test_commands_beside_the_server_use_its_database_and_say_when_it_is_not_there(server: Server) -> None:
    server.wait_for("LSP ready at ")
    beside = server.manage("shell", "-v0", "-c", "from orders.models import Service; print(Service.objects.count())")
    assert beside.communicate(timeout=60)[0].strip() == "1"
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(90) == 0
    alone = server.manage("showmigrations")
    assert "is not running: it lives as long as `make run`" in alone.communicate(timeout=60)[0]


def test_two_servers_run_side_by_side_but_not_on_one_home(server: Server, home: Path) -> None:
    other = Server(home / "two")
    try:
        server.wait_for("LSP ready at ")
        other.wait_for("LSP ready at ")
        same = server.manage("run")
        assert "Another server runs on" in same.communicate(timeout=60)[0]
        assert json.loads(server.get("/healthz"))["database"] and json.loads(other.get("/healthz"))["database"]
    finally:
        other.process.send_signal(signal.SIGTERM)
        other.process.wait(90)
        other.output.close()


def test_nothing_survives_a_supervisor_that_is_killed_and_the_next_one_starts(server: Server, home: Path) -> None:
    server.wait_for("LSP ready at ")
    assert len(server.processes()) > 5
    server.process.kill()
    server.process.wait()
    assert eventually(lambda: server.processes() == [])
    again = Server(home / "one")
    try:
        again.wait_for("LSP ready at ")
    finally:
        again.process.send_signal(signal.SIGTERM)
        again.process.wait(90)
        again.output.close()


def test_without_a_node_the_missing_variables_are_named_and_the_playground_is_offered(home: Path) -> None:
    server = Server(home, LND_GRPC="", LND_MACAROON="")
    said = server.process.communicate(timeout=60)[0]
    assert server.process.returncode == 2
    assert "Missing: LND_GRPC, LND_MACAROON " in said and "make regtest" in said


def test_faults_of_the_configuration_stop_the_start_all_at_once(home: Path) -> None:
    server = Server(home, BUY_RATE="often", WORKERS="0")
    said = server.process.communicate(timeout=60)[0]
    assert server.process.returncode == 1
    assert "BUY_RATE must be" in said and "WORKERS must be" in said and "Traceback" not in said
