"""The servers that run on a simulated node or a test network of this folder, for the commands beside them.

Each has written `server.env` in its home. One whose main process was killed has left it behind: what counts is that its
database answers, which lives as long as the server.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_site.env_file import EnvFile
from lsp_site.running import embedded
from lsp_site.running.playground import HOME as REGTEST_HOME
from lsp_site.running.playground import ROOT

#: Where a server listens when nobody says otherwise.
_LISTEN = "127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Beside:
    """One server that runs. `node`: simulated or regtest."""

    node: str
    home: Path

    @property
    def env_file(self) -> Path:
        """What a command has to know to reach it."""
        return self.home / "server.env"

    @property
    def url(self) -> str:
        """Where it is reached."""
        said = EnvFile(self.env_file.read_bytes(), {}).values
        return said.get("PUBLIC_URL") or f"http://{said.get('LISTEN') or _LISTEN}"


def running(lsp_home: Path) -> list[Beside]:
    """Those that run: on the simulated node of this home, and on the test network."""
    known = (Beside("simulated", lsp_home / "simulated"), Beside("regtest", REGTEST_HOME))
    return [server for server in known if server.env_file.exists() and embedded.is_running(server.home)]


def advice(lsp_home: Path, arguments: Sequence[str]) -> str:
    """How a command that found no database reaches a server that runs all the same; empty where none does."""
    return "".join(
        f"\nA server runs on {'a simulated node' if server.node == 'simulated' else 'the test network'}. For it:\n"
        f"  {_found_by(server)} .venv/bin/python manage.py {shlex.join(arguments)}"
        for server in running(lsp_home)
    )


def _found_by(server: Beside) -> str:
    """What stands before a command. A home that the environment names would win over that of the file."""
    file = f"LSP_ENV_FILE={shlex.quote(_shown(server.env_file))}"
    return f"LSP_HOME={shlex.quote(_shown(server.home))} {file}" if "LSP_HOME" in os.environ else file


def make(lsp_home: Path, listen: str = _LISTEN) -> str:
    """`make`, and before it what it needs to reach the server of this home: nothing where all is as by default."""
    needed = {"LSP_HOME": lsp_home != ROOT / ".lsp", "LISTEN": listen != _LISTEN}
    values = {"LSP_HOME": str(lsp_home), "LISTEN": listen}
    return " ".join(
        [*(f"{name}={shlex.quote(values[name])}" for name, is_needed in needed.items() if is_needed), "make"]
    )


def make_admin(home: Path, *, is_embedded: bool) -> str:
    """The command for a staff account on the server of this home, as it runs."""
    if home == REGTEST_HOME:
        return "make admin NODE=regtest"
    if not is_embedded:
        return "make admin"
    return f"{make(home.parent if home.name == 'simulated' else home)} admin"


def _shown(path: Path) -> str:
    """As seen from where the command was given, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else os.fspath(path)
