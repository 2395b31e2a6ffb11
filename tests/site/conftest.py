"""The server as a visitor starts it, shared by all tests that only use it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.test_run import ROOT, Server
from tests.site.test_supervisor import eventually

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
NO_NODE = {"LND_GRPC": "", "LND_MACAROON": "", "LND_NETWORK": "", "LND_TLS_CERT": ""}


class Visited(Server):
    """`make run` with no node configured: it stands on a simulated one."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, **NO_NODE)

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            made("run"), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )

    @property
    def env_file(self) -> Path:
        """What commands beside the server have to know."""
        return self.home / "simulated" / "server.env"

    def shell(self, script: str) -> str:
        """What a visitor's commands, given in the project's folder, have said."""
        return shell(script, self.environment)

    def beside(self, script: str) -> str:
        """The same for commands that find the server by LSP_ENV_FILE alone."""
        own = {"LSP_HOME", "LISTEN", "DATABASE_URL", *NO_NODE}
        passed_on = {name: value for name, value in self.environment.items() if name not in own}
        return shell(script, passed_on | {"LSP_ENV_FILE": str(self.env_file)})


def shell(script: str, environment: dict[str, str]) -> str:
    """What the commands have said, given in the project's folder. Raises: AssertionError when one fails."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def made(*arguments: str) -> list[str]:
    """`make` for what is installed already: a test installs nothing."""
    return ["make", "-o", ".venv/.installed-run", "-o", ".venv/.installed-dev", *arguments]


@pytest.fixture(scope="session")
def visited(monkeysession: pytest.MonkeyPatch) -> Iterator[Visited]:
    """The server on its simulated node, ready."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs us
        monkeysession.delenv(name, raising=False)
    home = Path(tempfile.mkdtemp(prefix="lsp-run-"))
    server = Visited(home)
    try:
        server.wait_for("LSP ready at http://")
        threading.Thread(target=server.said.extend, args=(server.output,), daemon=True).start()  # no pipe fills up
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(90)
        eventually(lambda: not server.processes())
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def monkeysession() -> Iterator[pytest.MonkeyPatch]:
    """A monkeypatch that lasts."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
