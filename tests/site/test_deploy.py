"""What stands in `deploy/`: the units, the containers, and that both start what `manage.py run` starts."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsp_site.configuration import read
from lsp_site.management.commands.run import programs
from tests.house.source import PACKAGES
from tests.site.conftest import Visited, needs_curl
from tests.site.credentials import node_files
from tests.site.documented import blocks
from tests.site.test_run import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
HOME_OF_THE_UNITS = "/srv/lsp"


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string((DEPLOY / "systemd" / name).read_text(encoding="utf-8"))
    return parsed


def started(command: str) -> str:
    """The command as the supervisor would write it."""
    return command.replace(f"{HOME_OF_THE_UNITS}/.venv/bin/python", sys.executable)


def test_the_units_start_what_the_supervisor_starts_and_give_it_the_time_it_needs() -> None:
    for program in programs():
        service = unit(f"lsp-{program.name}.service")["Service"]
        ours = [word.replace(f"{ROOT}/manage.py", "manage.py") for word in program.command]
        assert started(service["ExecStart"]).split() == ours
        assert int(service["TimeoutStopSec"]) > program.stop_seconds
        assert service["KillMode"] == "mixed"
    whole = unit("lsp.service")["Service"]
    assert whole["ExecStart"] == f"{HOME_OF_THE_UNITS}/.venv/bin/python manage.py run"
    assert int(whole["TimeoutStopSec"]) > max(program.stop_seconds for program in programs())
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    assert [line.partition(":")[0] for line in lines] == [program.name for program in programs()]


def test_the_page_quotes_the_unit_as_it_is() -> None:
    quoted = [block.text for block in blocks("docs/operating.md", "Start", "ini") if "[Unit]" in block.text]
    assert quoted == [(DEPLOY / "systemd" / "lsp.service").read_text(encoding="utf-8")]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = started(path.read_text(encoding="utf-8")).replace(HOME_OF_THE_UNITS, str(ROOT))
        (tmp_path / path.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    ours = [line for line in said.splitlines() if re.search(r"\blsp[\w-]*\.(service|timer)\b", line)]
    assert ours == [] and "Failed to" not in said, said


@needs_curl
class NotWell(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def not_well() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), NotWell) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_curl
@pytest.mark.parametrize("health", ["well", "red", "nobody answers"])
def test_the_watch_restarts_worker_and_streams_when_health_is_red(
    visited: Visited, not_well: str, tmp_path: Path, health: str
) -> None:
    [service] = re.findall(
        r"^ExecStart=/bin/sh -c '(.*)'$", (DEPLOY / "systemd" / "lsp-watch.service").read_text(), re.M
    )
    told = tmp_path / "told"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >{told}\n')
    (tmp_path / "systemctl").chmod(0o755)
    asked = {"well": visited.listen, "red": not_well, "nobody answers": "127.0.0.1:1"}[health]
    script = service.replace("$$", "$").replace("127.0.0.1:8000", asked)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, check=True, capture_output=True)
    assert (told.read_text() if told.exists() else "") == (
        "restart lsp-worker lsp-streams\n" if health == "red" else ""
    )


def test_the_timer_leaves_a_worker_the_time_to_report() -> None:
    timer = unit("lsp-watch.timer")["Timer"]
    assert timer["OnActiveSec"] == timer["OnUnitActiveSec"] == "3min"


# Containers


def example_env() -> dict[str, str]:
    lines = (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_settings_of_the_containers_are_enough_for_mainnet(tmp_path: Path) -> None:
    server, database = COMPOSE["services"]["lsp"], COMPOSE["services"]["database"]
    settings = example_env() | server["environment"]
    settings["DATABASE_URL"] = settings["DATABASE_URL"].replace("${DATABASE_PASSWORD}", "word")
    files = node_files(tmp_path)
    assert all(settings[name].startswith("/run/lnd/") for name in files)
    settings |= files
    values = read(settings, tmp_path).values
    assert read(settings, tmp_path).missing_node_variables == () and values["LND_NETWORK"] == "mainnet"
    url, made = values["DATABASE_URL"], database["environment"]
    assert (url["HOST"], url["USER"], url["NAME"]) == ("database", made["POSTGRES_USER"], made["POSTGRES_DB"])
    assert "127.0.0.1" in values["ALLOWED_HOSTS"], "the health check asks there"


def test_the_containers_keep_what_must_not_be_lost_and_are_given_time_to_end() -> None:
    server, database = COMPOSE["services"]["lsp"], COMPOSE["services"]["database"]
    assert f"home:{server['environment']['LSP_HOME']}" in server["volumes"]
    assert "database:/var/lib/postgresql/data" in database["volumes"]
    assert set(COMPOSE["volumes"]) == {"home", "database"}
    assert int(server["stop_grace_period"].removesuffix("s")) > max(program.stop_seconds for program in programs())
    assert server["ports"] == ["127.0.0.1:8000:8000"], "the proxy stands before it"
    assert all("latest" not in image for service in COMPOSE["services"].values() if (image := service.get("image")))


def test_the_image_has_all_the_code_and_nothing_of_the_operators() -> None:
    text = re.sub(r"\\\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    copied = [word for step, rest in steps if step == "COPY" for word in rest.split()[:-1]]
    assert {each.rstrip("/") for each in copied} == {*PACKAGES, "templates", "manage.py", "LICENSE", "requirements.txt"}
    assert all((ROOT / each).exists() for each in copied)
    assert [json.loads(rest) for step, rest in steps if step == "CMD"] == [[".venv/bin/python", "manage.py", "run"]]
    environment = dict(word.split("=") for step, rest in steps if step == "ENV" for word in rest.split())
    assert environment.items() <= COMPOSE["services"]["lsp"]["environment"].items()
    assert steps[-4] == ["USER", "lsp"]


def test_the_health_check_of_the_container_tells_red_from_green(visited: Visited) -> None:
    [_, _, option, program] = COMPOSE["services"]["lsp"]["healthcheck"]["test"]
    for listen, code in ((visited.listen, 0), ("127.0.0.1:1", 1)):
        command = [sys.executable, option, program.replace("127.0.0.1:8000", listen)]
        assert subprocess.run(command, capture_output=True).returncode == code


def has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_compose_understands_its_file(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "deploy" / ".env").write_text(
        (DEPLOY / "example.env").read_text().replace("PASSWORD=", "PASSWORD=word")
    )
    command = ["docker", "compose", "-f", str(tmp_path / "deploy" / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
