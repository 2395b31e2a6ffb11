"""One server on a simulated node and one browser for all tests of pages."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browsing import CHROMIUM, Looked, Theme, window
from tests.pages.history import PASSWORD
from tests.pages.table import BOSS, VIEWER
from tests.site.conftest import Visited
from tests.site.test_run import ROOT
from tests.site.test_supervisor import eventually

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, sync_playwright

ORDERS = 150
#: For each deed: one in each window, and one more for the quick ones.
_OF_EACH = 5

Opened = Callable[[str, str, Theme], Looked]
Arranged = Callable[[str], tuple[str, str]]


class Shop(Visited):
    """The server as a visitor starts it, with a history."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.orders: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://{self.listen}"

    def fill(self) -> None:
        """It has sold for months, and sells."""
        self.orders = json.loads(self.run("-m", "tests.pages.history", str(ORDERS)))

    def run(self, *command: str) -> str:
        """What Python has said beside the server."""
        kept = {name: value for name, value in self.environment.items() if name in {"PATH", "HOME", "LANG"}}
        return _python(kept | {"LSP_ENV_FILE": str(self.env_file)}, *command)

    def buy(self, *asked: str) -> None:
        """One order more, as a wallet buys it."""
        _python(self.environment | {"LSP_HOME": str(self.home / "simulated")}, "manage.py", "buy", *asked)


def _python(environment: dict[str, str], *command: str) -> str:
    said = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    """It runs, and has orders of every kind that stays as it is."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    home = Path(tempfile.mkdtemp(prefix="lsp-run-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs us
            patch.delenv(name, raising=False)
        server = Shop(home)
    try:
        server.wait_for("LSP ready at http://")
        threading.Thread(target=server.said.extend, args=(server.output,), daemon=True).start()  # no pipe fills up
        server.fill()
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(90)
        eventually(lambda: not server.processes())
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. For this folder alone: while it runs, its event loop is that of the tests' own thread."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


def cookies(browser: Browser, base_url: str, name: str) -> Any:
    """Of somebody who has logged in."""
    page = window(browser, base_url, None, "desktop", "light").open("/admin/")
    page.fill("#id_username", name)
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#logout-form")
    state = page.context.storage_state()
    page.context.close()
    return state


@pytest.fixture(scope="package")
def logged_in(shop: Shop, browser: Browser) -> dict[str, Any]:
    """The cookies of each member of the staff, as the log-in page gives them."""
    return {name: cookies(browser, shop.url, name) for name in (BOSS, VIEWER)}


@pytest.fixture(scope="package")
def opened(shop: Shop, browser: Browser, logged_in: dict[str, Any]) -> Opened:
    """`opened(who, size, theme)` is a window of theirs; it stays open, so that nothing is fetched again."""
    windows: dict[tuple[str, str, Theme], Looked] = {}

    def window_of(who: str, size: str, theme: Theme) -> Looked:
        asked = (who, size, theme)
        if asked not in windows:
            windows[asked] = window(browser, shop.url, logged_in[who], size, theme)
        return windows[asked]

    return window_of


@pytest.fixture(scope="package")
def arranged(shop: Shop) -> Arranged:
    """`arranged(deed)` is the id and the reference of an order that the deed fits, each time another one."""
    orders: dict[str, list[tuple[str, str]]] = json.loads(shop.run("-m", "tests.pages.arranging", str(_OF_EACH)))
    return lambda deed: orders[deed].pop()
