"""docs/wallets.md's quick starts, each run as it stands against a server that runs, up to the channel."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.control import Control
from tests.regtest.processes import free_port, release_port
from tests.regtest.waiting import until
from tests.site.conftest import Visited, made, needs_curl
from tests.site.documented import blocks, commands

PAGE = "docs/wallets.md"
LSP, KEY, ORDER = "http://127.0.0.1:8000", "02" + "a" * 64, "3f0d2d3c-6a52-4b0f-9a34-0e6a5a9d7c11"
PROGRAMS = [
    pytest.param("In Python", "python", "buy.py", [sys.executable, "-I"], id="Python"),
    pytest.param("In JavaScript", "js", "buy.mjs", ["node"], id="JavaScript"),
]


@pytest.fixture
def control(visited: Visited) -> Iterator[Control]:
    """The simulated customers."""
    node = visited.home / "simulated" / "node"
    control = Control((node / "listen").read_text(), node)
    yield control
    control.close()


class Program:
    """One of the page's, with the server and the node in the place of those on the page."""

    def __init__(self, visited: Visited, heading: str, language: str, file: Path, run: list[str], node: str) -> None:
        if shutil.which(run[0]) is None:  # from here, for all of them: the summary has one line of it
            pytest.skip(f"{run[0]} is not installed: the quick start of docs/wallets.md in {language} is not run")
        [block] = blocks(PAGE, heading, language)
        assert LSP in block.text and KEY in block.text
        file.write_text(real(block.text, visited, node))
        self._process = subprocess.Popen(
            [*run, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=file.parent
        )

    def line(self, beginning: str) -> str:
        """What it says after these words."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        raise AssertionError(f"it never says {beginning!r}: {self.end()}")

    def end(self) -> tuple[int, str]:
        """Its code and what it complains of, once it has ended."""
        _, complaint = self._process.communicate(timeout=60)
        return self._process.returncode, complaint

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def real(text: str, visited: Visited, node: str) -> str:
    return text.replace(LSP, f"http://{visited.listen}").replace(KEY, node)


def connected(control: Control, name: str) -> str:
    """The key of a customer whose node has connected to ours."""
    control.say_to_node(name, b"hello", type=40_001)
    return str(control.customer(name).pubkey)


def seen(visited: Visited, order_id: str) -> Any:
    return json.loads(visited.get(f"/api/v1/get_order?order_id={order_id}"))


@pytest.mark.parametrize(("heading", "language", "name", "run"), PROGRAMS)
def test_the_program_of_the_page_buys_a_channel(
    visited: Visited, control: Control, tmp_path: Path, heading: str, language: str, name: str, run: list[str]
) -> None:
    node = connected(control, f"quick-{language}")
    program = Program(visited, heading, language, tmp_path / name, run, node)
    try:
        order_id = program.line("order: ")
        bill = re.fullmatch(r"(\d+) sat: (\w+)", program.line("pay "))
        assert bill is not None
        assert seen(visited, order_id)["order_state"] == "CREATED"
        control.pay(bill[2])
        outpoint = program.line("channel: ")
        assert program.end() == (0, "")
    finally:
        program.kill()
    told = seen(visited, order_id)
    assert told["payment"]["bolt11"]["order_total_sat"] == bill[1]
    assert told["channel"]["funding_outpoint"] == outpoint


@pytest.mark.parametrize(("heading", "language", "name", "run"), PROGRAMS)
def test_the_program_of_the_page_says_why_it_is_refused(
    visited: Visited, tmp_path: Path, heading: str, language: str, name: str, run: list[str]
) -> None:
    program = Program(visited, heading, language, tmp_path / name, run, "02")
    try:
        code, complaint = program.end()
    finally:
        program.kill()
    assert code == 1 and complaint.startswith("refused: The node's key must be 66 hex digits")


@pytest.mark.parametrize(("heading", "language", "name", "run"), PROGRAMS)
def test_the_program_of_the_page_says_that_nobody_answers(
    tmp_path: Path, heading: str, language: str, name: str, run: list[str]
) -> None:
    port = free_port()
    nobody: Any = SimpleNamespace(listen=f"127.0.0.1:{port}")
    program = Program(nobody, heading, language, tmp_path / name, run, KEY)
    try:
        code, complaint = program.end()
    finally:
        program.kill()
        release_port(port)
    assert code == 1 and complaint.startswith("refused: ") and "Traceback" not in complaint


@pytest.mark.parametrize(("heading", "language", "name", "run"), PROGRAMS)
def test_the_program_of_the_page_pays_nothing_where_it_would_fail(
    visited: Visited, control: Control, tmp_path: Path, heading: str, language: str, name: str, run: list[str]
) -> None:
    away = control.change_customer(f"away-{language}", presence="offline")
    program = Program(visited, heading, language, tmp_path / name, run, f"{away.pubkey}@{away.host}")
    try:
        assert "does not answer" in program.line("warning: ")
        code, complaint = program.end()
    finally:
        program.kill()
    assert code == 1 and "not paid" in complaint


@needs_curl
def test_who_has_no_node_is_told_that_of_the_simulated_wallet(visited: Visited) -> None:
    said = visited.shell(" ".join(made("pay")))
    node = re.search(r"to buy a channel for: (\w{66}@\S+)", said)
    assert node is not None and "has paid" not in said
    [_, create, _] = [command for block in blocks(PAGE, "By curl", "sh") for command in commands(block.text)]
    assert json.loads(visited.shell(real(create, visited, node[1])))["warnings"] == []


@needs_curl
def test_the_commands_of_the_page_buy_a_channel(visited: Visited, control: Control) -> None:
    told = [command for block in blocks(PAGE, "By curl", "sh") for command in commands(block.text)]
    info, create, now = (real(command, visited, connected(control, "quick-curl")) for command in told)
    assert json.loads(visited.shell(info))["uris"]
    order = json.loads(visited.shell(create))
    assert (order["order_state"], order["warnings"]) == ("CREATED", [])
    now = now.replace(ORDER, order["order_id"])
    assert json.loads(visited.shell(now)) == order
    control.pay(order["payment"]["bolt11"]["invoice"])
    until(lambda: json.loads(visited.shell(now))["channel"], "the channel is told", timeout=90, pause=1)
    assert json.loads(visited.shell(now))["order_state"] == "COMPLETED"
