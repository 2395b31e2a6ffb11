"""A browser that notes what no page may do, and says what who cannot see it is not told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM: Final = Path("/usr/bin/chromium")  # Debian's: no browser is ever downloaded
#: By its name: (width, height).
SIZES: Final = {"desktop": (1280, 900), "phone": (390, 844)}
Theme = Literal["light", "dark"]

_NOTED: Final = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => {
  window.violations.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
});
"""
#: What it calls grave: who cannot see, or has no mouse, cannot use the page.
_GRAVE: Final = {"serious", "critical"}
_ASKED: Final = """
async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations.map((found) => ({
  id: found.id, impact: found.impact, nodes: found.nodes.map((node) => `${node.html}  ${node.failureSummary}`),
}))
"""
#: Wider than the window: who has a phone would have to push it to and fro.
_OVERFLOW: Final = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Sentences of which a line has hardly a word: who has a phone would have to spell them.
_SQUEEZED: Final = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [], range = document.createRange();
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim().replace(/\\s+/g, ' ');
    if (words.length < 24) continue;
    range.selectNodeContents(texts.currentNode);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 1 && box.height > 1);
    const lines = new Set(boxes.map((box) => Math.round(box.top))).size;
    if (lines > 2 && words.length / lines < 8) found.push(`${lines} lines of ${words}`);
  }
  return found;
}"""


@dataclass
class Looked:
    """A page in a browser's window, and what it has done since it was opened."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        self.page.on("request", self._request)
        self.page.add_init_script(_NOTED)

    def open(self, url: str) -> Page:
        """The page is there. Raises: AssertionError when it is none."""
        self.faults.clear()
        answer = self.page.goto(url, wait_until="load")
        assert answer is not None and answer.status == 200, f"{url}: {answer and answer.status}"
        return self.page

    def check(self) -> None:
        """Raises: AssertionError with all that is wrong with the page as it is now."""
        faults = [*self.faults, *(f"policy: {each}" for each in self.page.evaluate("() => window.violations"))]
        if (too_wide := self.page.evaluate(_OVERFLOW)) > 0:
            faults.append(f"{too_wide} pixels wider than the window")
        faults += [f"squeezed: {each}" for each in self.page.evaluate(_SQUEEZED)]
        self.page.evaluate(AXE_SCRIPT)  # which itself does to the page what the page may not do
        for found in self.page.evaluate(_ASKED):
            if found["impact"] in _GRAVE:
                faults.append(f"axe, {found['impact']}: {found['id']}\n    " + "\n    ".join(found["nodes"][:5]))
        assert not faults, f"{self.page.url}\n" + "\n".join(faults)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in {"data", "blob"} and asked.hostname != "127.0.0.1":
            self.faults.append(f"asked elsewhere: {request.url}")


def window(browser: Browser, base_url: str, state: Any, size: str, theme: Theme) -> Looked:
    """A window of somebody who is logged in."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=base_url,
        storage_state=state,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        has_touch=size == "phone",
    )
    context.set_default_timeout(15_000)
    return Looked(context.new_page())
