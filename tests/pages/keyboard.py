"""A page without a mouse: what has the focus, and how one comes to something else."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page

#: More stops than any page has before what one wants.
_MOST_STOPS: Final = 150
_IS_THERE: Final = "(wanted) => document.activeElement !== null && document.activeElement.matches(wanted)"
#: Neither above nor below nor beside the window, and no smaller than a finger can tell.
_IN_SIGHT: Final = """() => {
  const box = document.activeElement.getBoundingClientRect();
  const wide = document.documentElement.clientWidth, high = window.innerHeight;
  return box.width > 8 && box.height > 8 && box.left >= 0 && box.right <= wide + 1 && box.bottom > 0 && box.top < high;
}"""


def has_focus(page: Page, wanted: str) -> bool:
    return bool(page.evaluate(_IS_THERE, wanted))


def go_to(page: Page, wanted: str, *, key: str = "Tab") -> None:
    """It has the focus, and is in sight. Raises: AssertionError where the key leads past it."""
    for _ in range(_MOST_STOPS):
        if has_focus(page, wanted):
            break
        page.keyboard.press(key)
    else:
        raise AssertionError(f"{page.url}: {key} does not lead to {wanted}")
    assert page.evaluate(_IN_SIGHT), f"{page.url}: {wanted} has the focus and cannot be seen"


def press(page: Page, wanted: str, *, key: str = "Enter") -> None:
    """It was gone to, and pressed."""
    go_to(page, wanted)
    page.keyboard.press(key)
