"""`python -m tests.pages.pictures`: the README's pictures, of a shop on the simulated node that has a history."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from tests.pages.browsing import CHROMIUM, window
from tests.pages.conftest import Shop, cookies
from tests.pages.table import BOSS
from tests.site.test_run import ROOT

#: The file's name: where it is, and how much of it is shown.
PICTURES: Final = {
    "admin-dashboard": ("/admin/", 1226),
    "admin-orders": ("/admin/orders/channelorder/", 760),
    "admin-order": ("/admin/orders/channelorder/{rejected}/change/", 1100),
}
#: Besides its history.
BOUGHT: Final = ((), ("--rail", "onchain"), (), ("--rail", "onchain", "--pay", "over"), (), ("--claim", "lnurl"))


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="lsp-run-"))
    shop = Shop(home)
    try:
        shop.wait_for("LSP ready at http://")
        threading.Thread(target=shop.said.extend, args=(shop.output,), daemon=True).start()
        shop.fill()
        for asked in BOUGHT:
            shop.buy(*asked)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            looked = window(browser, shop.url, cookies(browser, shop.url, BOSS), "desktop", "light")
            for name, (path, height) in PICTURES.items():
                _take(looked.open(path.format(**shop.orders)), ROOT / "docs" / "images" / f"{name}.png", height)
    finally:
        shop.process.send_signal(signal.SIGTERM)
        shop.process.wait(90)
        shutil.rmtree(home, ignore_errors=True)


def _take(page: Page, file: Path, height: int) -> None:
    page.set_viewport_size({"width": 1280, "height": height})
    page.wait_for_timeout(300)  # charts are drawn anew for the window
    page.screenshot(path=str(file))


if __name__ == "__main__":
    main()
