"""The README's part on real nodes, followed word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_site.running.playground import COMMANDS, PLAY
from tests.e2e.shop import Shop
from tests.regtest import playground
from tests.regtest.build import GoMissing, binaries
from tests.regtest.commands import Commands
from tests.regtest.fixtures import SKIPPED
from tests.regtest.waiting import until
from tests.site.conftest import needs_curl
from tests.site.documented import blocks, commands
from tests.site.test_run import ROOT, free_address

BASE = "http://127.0.0.1:8000"


class Reader:
    """Who pastes the README's commands, one block after the other, into one terminal."""

    def __init__(self, base: str, home: Path) -> None:
        self._base = base
        self._ask = f"tests.regtest.playground --home {home} "
        self._begun = ""
        self.buying, self.paying, self.claiming, self.looking = blocks("README.md", "Try it on real nodes", "sh")

    def buy(self) -> dict[str, Any]:
        order = json.loads(self.paste(self.buying.text))
        [_, getting] = commands(self.buying.text)
        self._begun = f"order={shlex.quote(json.dumps(order))}\n{getting}\n"
        return dict(order)

    def paste(self, text: str) -> str:
        text = text.replace(BASE, self._base).replace("tests.regtest.playground ", self._ask)
        text = text.replace(".venv/bin/python", sys.executable)
        command = ["bash", "-euo", "pipefail", "-c", self._begun + text]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def playground_home(shop: Shop, tmp_path: Path) -> Iterator[Path]:
    """The network of the tests takes the playground's commands."""
    server = playground._control(Commands(shop.network), threading.Event(), tmp_path)
    yield tmp_path
    server.shutdown()
    server.server_close()


@needs_curl
def test_the_readme_is_followed_on_real_nodes(shop: Shop, live_server: Any, playground_home: Path) -> None:
    reader = Reader(f"http://{live_server.thread.host}:{live_server.thread.port}", playground_home)
    by_lightning, on_chain = commands(reader.paying.text)
    for way, after in ((by_lightning, ""), (on_chain, commands(reader.claiming.text)[-1].replace("mine 6", "mine"))):
        order = reader.buy()
        assert re.search("on its way|sent; ", reader.paste(way))
        if after:
            reader.paste(after)
        shop.run(order, "paid")
        reader.paste(commands(reader.claiming.text)[0])
        shop.run(order, "opening")
        reader.paste(commands(reader.claiming.text)[1])
        shop.run(order, "open")
        shop.assert_delivered(order)
        said = reader.paste(reader.looking.text)
        assert '"state_name":"OPEN"' in said and "500,000 sat" in said and "sat in channels" in said


def test_make_regtest_prints_the_commands_of_the_readme() -> None:
    printed = COMMANDS.format(base=BASE, play=PLAY, home="")
    lines = {line.strip() for line in printed.splitlines()}
    told = [line for block in blocks("README.md", "Try it on real nodes", "sh") for line in block.text.splitlines()]
    assert [line for line in told if line.strip() not in lines] == []


@pytest.fixture
def regtest(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """`make regtest`, ready: where the server is, and what all of it has said. It begins anew whatever was there."""
    try:
        binaries()
    except GoMissing:
        pytest.skip(SKIPPED)
    listen, said = free_address(), tmp_path / "said"
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    environment |= {"LISTEN": listen, "DJANGO_SETTINGS_MODULE": "lsp_site.settings"}
    command = ["make", "-o", ".venv/.installed-dev", "regtest"]
    with said.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=ROOT)
    try:
        until(lambda: "Ctrl-C ends all of it." in said.read_text(), "the commands are printed", timeout=180)
        yield f"http://{listen}", said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


@pytest.mark.long
@needs_curl
def test_the_readme_is_followed_by_what_make_regtest_starts(regtest: tuple[str, Path]) -> None:
    base, said = regtest
    reader = Reader(base, playground.HOME)
    order = reader.buy()
    seen = f'curl -s "{base}/channel/order?order_id={order["order_id"]}"'

    def state_is(number: int) -> Callable[[], bool]:
        return lambda: json.loads(reader.paste(seen))["state"] == number

    reader.paste(commands(reader.paying.text)[0])
    until(state_is(100), f"the order is paid\n{said.read_text()}", timeout=60)
    claim, mine = commands(reader.claiming.text)
    reader.paste(claim)
    until(state_is(300), f"the opening is under way\n{said.read_text()}", timeout=60)
    reader.paste(mine)
    until(state_is(500), f"the channel is open\n{said.read_text()}", timeout=60)
    assert "500,000 sat" in reader.paste(reader.looking.text)
