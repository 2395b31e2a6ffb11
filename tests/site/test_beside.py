"""Commands beside a server find the one that is meant, or say how: no pause and no account lands elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_site.running import account, beside
from lsp_site.running.account import OWN, PASSWORD, Server, Undecided, chosen, how_to_ask
from lsp_site.running.playground import HOME
from tests.site.conftest import Visited, made
from tests.site.test_run import ROOT

SIMULATED, REGTEST = (Server(node, "http://127.0.0.1:1", "there", {}) for node in ("simulated", "regtest"))


def manage(visited: Visited, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As given by who has not read of LSP_ENV_FILE."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env=visited.environment, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_a_command_that_finds_no_database_names_the_server_that_runs(visited: Visited) -> None:
    refused = manage(visited, "pause", "--reason", "our move")
    assert refused.returncode == 1 and "it lives as long as `make run`" in refused.stderr
    home = visited.home / "simulated"
    way = f"LSP_HOME={home} LSP_ENV_FILE={visited.env_file} .venv/bin/python manage.py pause --reason 'our move'"
    assert way in refused.stderr
    assert "paused: our move" in visited.shell(way)
    assert "sales     on" in visited.beside(".venv/bin/python manage.py resume")


def test_the_doctor_without_a_database_says_where_that_of_a_played_server_is(visited: Visited) -> None:
    looked = manage(visited, "doctor")
    assert looked.returncode == 1 and "LSP_ENV_FILE=.lsp/simulated/server.env" in looked.stdout


def test_a_server_file_that_was_left_behind_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "REGTEST_HOME", tmp_path / "regtest")
    for node in ("simulated", "regtest"):
        (tmp_path / node).mkdir()
        (tmp_path / node / "server.env").write_text("LND_NETWORK=regtest\n")
    assert beside.running(tmp_path) == [] and beside.advice(tmp_path, ["doctor"]) == ""
    monkeypatch.setattr("lsp_site.running.embedded.is_running", lambda home: home.name == "regtest")
    [server] = beside.running(tmp_path)
    assert (server.node, server.url) == ("regtest", "http://127.0.0.1:8000")


def test_the_server_says_its_commands_with_what_they_need(visited: Visited) -> None:
    needed = f"LSP_HOME={visited.home} LISTEN={visited.listen} make"
    said = "".join(visited.said)
    assert f"  {needed} buy RAIL=onchain\n" in said and f"  {needed} admin\n" in said
    assert f"`LSP_HOME={visited.home} make admin`" in said
    assert f"LISTEN={visited.listen}\n" in visited.env_file.read_text()


def test_where_all_is_as_by_default_nothing_stands_before_make() -> None:
    assert beside.make(ROOT / ".lsp", "127.0.0.1:8000") == "make"
    assert beside.make_admin(ROOT / ".lsp" / "simulated", is_embedded=True) == "make admin"
    assert beside.make_admin(HOME, is_embedded=True) == "make admin NODE=regtest"


def test_no_key_is_made_beside_the_home_of_the_simulated_node(visited: Visited) -> None:
    """Of two, which would be the one to back up?"""
    assert [path.name for path in visited.home.iterdir()] == ["simulated"]
    assert {"preimage_key", "secret_key"} < {path.name for path in (visited.home / "simulated").iterdir()}


def test_an_account_goes_to_the_one_server_that_runs_or_to_the_one_that_is_named() -> None:
    assert chosen([SIMULATED], None) is SIMULATED
    assert chosen([SIMULATED, REGTEST], "regtest") is REGTEST
    with pytest.raises(Undecided, match="(?s)More than one.*NODE=simulated.*NODE=regtest"):
        chosen([SIMULATED, REGTEST], None)
    with pytest.raises(Undecided, match="No own server runs here"):
        chosen([SIMULATED], OWN)


def test_without_a_terminal_an_account_is_made_from_the_environment_or_refused() -> None:
    assert how_to_ask({}, at_terminal=True) == ()
    assert how_to_ask({PASSWORD: "x"}, at_terminal=False) == ("--noinput", "--email", "")
    with pytest.raises(Undecided, match=PASSWORD):
        how_to_ask({}, at_terminal=False)


def test_make_admin_without_a_terminal_says_where_the_account_is_made(visited: Visited) -> None:
    # What is set for another server must not lead it astray.
    ours = visited.environment | {"DATABASE_URL": "", "DJANGO_SUPERUSER_USERNAME": "bob"}
    assert admin(ours).returncode != 0
    made = admin(ours | {PASSWORD: "Quietly7Walks"})
    assert made.returncode == 0, made.stderr
    assert f"http://{visited.listen}" in made.stdout and "simulated node" in made.stdout
    check = (
        "from django.contrib.auth import authenticate; print(authenticate(username='bob', password='Quietly7Walks'))"
    )
    assert visited.beside(f'.venv/bin/python manage.py shell -v0 -c "{check}"').strip() == "bob"


def admin(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        made("admin"), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, timeout=120
    )


def test_a_database_that_is_set_for_another_server_does_not_get_the_account(visited: Visited) -> None:
    given = os.environ | {"DATABASE_URL": "postgres://elsewhere/real", "LSP_HOME": str(visited.home)}
    [server] = beside.running(visited.home)
    environment = account._played(server, dict(given)).environment
    assert "DATABASE_URL" not in environment and environment["LSP_ENV_FILE"] == str(visited.env_file)
