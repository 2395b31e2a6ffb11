"""`make admin`: a staff account on the server that runs, and on no other.

Where several run it says so, and asks for which: an account in the wrong one is found out at the next log-in only.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lsp_site.declared import VARIABLES
from lsp_site.running import beside, embedded
from lsp_site.running.playground import ROOT, say

OWN = "own"
#: Django's own name for it: with it nothing is asked.
PASSWORD = "DJANGO_SUPERUSER_PASSWORD"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Server:
    """One that could have the account. `environment`: what the command needs to reach it."""

    node: str
    url: str
    kept_in: str
    environment: dict[str, str]


class Undecided(Exception):
    """No server, or more than one."""


def main() -> None:
    """Django's command has taken our place. Exits with a sentence where no server is the one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", choices=[OWN, "simulated", "regtest"])
    node = parser.parse_args().node
    given = dict(os.environ)  # before the settings put into it what `.env` says
    try:
        options = how_to_ask(given, at_terminal=sys.stdin.isatty())
        server = chosen(found(given, node), node)
    except Undecided as error:
        sys.exit(str(error))
    say(f"A staff account for the server at {server.url} ({server.kept_in}).")
    command = (sys.executable, str(ROOT / "manage.py"), "createsuperuser", *options)
    os.execve(sys.executable, command, server.environment)


def how_to_ask(given: dict[str, str], *, at_terminal: bool) -> tuple[str, ...]:
    """The command's options. Raises: Undecided where nobody could answer its questions."""
    if given.get(PASSWORD):
        return ("--noinput", *(() if given.get("DJANGO_SUPERUSER_EMAIL") else ("--email", "")))
    if at_terminal:
        return ()
    raise Undecided(f"Without a terminal set DJANGO_SUPERUSER_USERNAME and {PASSWORD}: nobody can be asked for them.")


def found(given: dict[str, str], node: str | None) -> list[Server]:
    """The servers that run: that of the settings, and those beside it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")
    from django.conf import settings

    servers = [_played(server, given) for server in beside.running(settings.LSP_HOME)]
    if given.get("LSP_HOME") and node is None:  # which says where to look
        servers = [server for server in servers if server.node != "regtest"]
    if not settings.DATABASE_IS_EMBEDDED or embedded.is_running(settings.LSP_HOME):
        kept_in = f"its home is {settings.LSP_HOME}" if settings.DATABASE_IS_EMBEDDED else "that of DATABASE_URL"
        servers.append(Server(OWN, settings.PUBLIC_URL, kept_in, given))
    return servers


def _played(server: beside.Beside, given: dict[str, str]) -> Server:
    """Nothing that is set for another server (a DATABASE_URL) reaches the command."""
    environment = {name: value for name, value in given.items() if name not in VARIABLES}
    environment["LSP_ENV_FILE"] = str(Path(server.env_file))
    return Server(server.node, server.url, f"on its {server.node} node, in {server.home}", environment)


def chosen(servers: list[Server], node: str | None) -> Server:
    """The one. Raises: Undecided, with what to do."""
    meant = [server for server in servers if node in (None, server.node)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise Undecided(
            f"No {'' if node is None else f'{node} '}server runs here: `make run` first, in another terminal (with the "
            "same LSP_HOME, if it has one), or set DATABASE_URL."
        )
    told = "\n".join(f"  make admin NODE={server.node:<10} {server.url}, {server.kept_in}" for server in meant)
    raise Undecided(f"More than one server runs. Say which gets the account:\n{told}")


if __name__ == "__main__":
    main()
