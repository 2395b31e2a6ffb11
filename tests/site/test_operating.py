"""The operator's page, followed word for word: a database, the server's units, pauses, a backup and a restore."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from lsp_site.configuration import read
from lsp_site.running import embedded
from lsp_site.running.embedded import EmbeddedPostgres
from tests.site.conftest import Visited, shell
from tests.site.credentials import node_files
from tests.site.documented import blocks, commands
from tests.site.test_readme import is_alike
from tests.site.test_run import ROOT

PAGE = "docs/operating.md"
#: What needs root, or another program than ours: a stand-in notes how it was called.
STAND_INS = ("useradd", "systemctl", "docker", "lncli", "python3", "pip")


def script(heading: str, language: str = "sh") -> str:
    """All that stands to be run below a heading."""
    return "".join(block.text for block in blocks(PAGE, heading, language))


@pytest.fixture
def path_with_stand_ins(tmp_path: Path) -> Iterator[str]:
    """A PATH; `tmp_path/called` has what the stand-ins were asked for. The programs of PostgreSQL are the real ones."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in STAND_INS:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $@" >>{tmp_path}/called\n')
    (folder / "sudo").write_text('#!/bin/sh\n[ "$1" = -u ] && shift 2\nexec "$@"\n')
    for program in folder.iterdir():
        program.chmod(0o755)
    yield f"{folder}:{embedded._PROGRAMS}:{os.environ['PATH']}"


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of somebody's own, as yet without anything of ours."""
    home = Path(tempfile.mkdtemp(prefix="lsp-pg-"))
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE lsp")
    yield server
    server.stop()
    shutil.rmtree(home)


def test_a_database_is_made_backed_up_and_put_back_as_the_page_says(
    postgres: EmbeddedPostgres, path_with_stand_ins: str, tmp_path: Path
) -> None:
    socket = str(embedded.socket_folder(postgres.home))
    home, backup = tmp_path / "home", tmp_path / "backup"
    backup.mkdir()
    environment = {"PATH": path_with_stand_ins, "PGHOST": socket, "PGUSER": "postgres"}
    shell(script("The database"), environment)
    environment = {"PATH": path_with_stand_ins, "LSP_ENV_FILE": "", "LSP_HOME": str(home), "BACKUP": str(backup)}
    environment["DATABASE_URL"] = f"postgresql://lsp@/lsp?host={quote(socket, safe='')}"
    manage = f"{sys.executable} manage.py"
    shell(f"{manage} migrate -v0", environment)
    services = f"{manage} shell -v0 -c 'from orders.models import Service; print(Service.objects.count())'"
    keys = [(home / name).read_bytes() for name in ("preimage_key", "secret_key")]
    shell(script("Backup"), environment)
    assert (tmp_path / "called").read_text().split()[:3] == ["lncli", "exportchanbackup", "--all"]
    shell(f"{manage} shell -v0 -c 'from orders.models import Service; Service.objects.create()'", environment)
    assert shell(services, environment).strip() == "2"
    for name in ("preimage_key", "secret_key"):
        (home / name).unlink()
    restore = blocks(PAGE, "Restore", "sh")[0].text
    assert "pg_restore" in restore
    shell(restore, environment)
    assert shell(services, environment).strip() == "1"
    assert [(home / name).read_bytes() for name in ("preimage_key", "secret_key")] == keys
    assert {path.stat().st_mode & 0o777 for path in home.glob("*_key")} == {0o600}


def test_the_server_is_installed_as_the_page_says(visited: Visited, path_with_stand_ins: str, tmp_path: Path) -> None:
    """With stand-ins for what needs root; files are copied to where nobody minds, and migrations really run."""
    units, deploy = tmp_path / "units", tmp_path / "deploy"
    units.mkdir()
    shutil.copytree(ROOT / "deploy", deploy)
    steps = script("Start")
    for written, meant in {
        "/etc/systemd/system/": f"{units}/",
        "cd /srv/lsp": f"cd {ROOT}",
        ".venv/bin/pip": "pip",
        "deploy/.env": f"{deploy}/.env",
        "deploy/lnd": f"{deploy}/lnd",
    }.items():
        assert written in steps
        steps = steps.replace(written, meant)
    visited.beside(f"export PATH={path_with_stand_ins}\n{steps}")
    assert sorted(path.name for path in units.iterdir()) == sorted(os.listdir(ROOT / "deploy" / "systemd"))
    assert (deploy / ".env").read_text() == (ROOT / "deploy" / "example.env").read_text()
    called = (tmp_path / "called").read_text()
    enabled = re.findall(r"^systemctl enable --now (.+)$", called, re.MULTILINE)
    names = [name if "." in name else f"{name}.service" for line in enabled for name in line.split()]
    assert len(names) == 5 and all((units / name).exists() for name in names)
    assert set(re.findall(r"docker compose -f (\S+)", called)) == {"deploy/compose.yaml"}
    assert "pip install --require-hashes -r requirements.txt" in called


def test_the_settings_of_the_page_are_enough_for_mainnet(tmp_path: Path) -> None:
    [written] = [block.text for block in blocks(PAGE, "Start", "ini") if "[Unit]" not in block.text]
    settings = dict(line.split("=", 1) for line in written.splitlines())
    settings |= node_files(tmp_path)
    [alert] = blocks(PAGE, "Alerts", "ini")
    settings |= dict([alert.text.strip().split("=", 1)])
    configuration = read(settings, tmp_path)
    assert configuration.missing_node_variables == ()
    assert configuration["DATABASE_URL"]["OPTIONS"]["host"] == "/var/run/postgresql"
    assert len(configuration["ALERT_URL"]) == 2


def test_sales_and_openings_are_paused_and_go_on(visited: Visited) -> None:
    pausing = commands(script("Pause and resume"))
    try:
        for command in pausing[:-1]:
            assert visited.beside(command), command
        assert json.loads(visited.get("/node/info"))["paused"] == "We move to another machine until noon."
    finally:
        visited.beside(pausing[-1])
    assert json.loads(visited.get("/node/info"))["paused"] == ""


def test_the_doctor_looks_at_what_the_page_lists(visited: Visited) -> None:
    [command] = commands(script("The doctor"))
    findings = json.loads(visited.beside(f"{command} --json || test $? -eq 1"))
    section = (ROOT / PAGE).read_text(encoding="utf-8").partition("## The doctor")[2].partition("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert {finding["name"] for finding in findings} == listed


def test_health_answers_as_the_page_shows(visited: Visited) -> None:
    """A process that has not reported yet is left out, says the page."""
    [shown] = [json.loads(block.text) for block in blocks(PAGE, "Is it well?", "json")]
    answered = json.loads(visited.get("/healthz"))
    shown["heartbeats"] = {name: beat for name, beat in shown["heartbeats"].items() if name in answered["heartbeats"]}
    assert is_alike(shown, answered)
