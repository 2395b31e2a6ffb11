"""Each deed of staff in a browser, without a mouse: asked for, foreseen, confirmed, and found in the database."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Page

from orders.admin.deeds import DEEDS, Deed
from tests.pages.browsing import Looked, Theme
from tests.pages.conftest import Arranged, Opened, Shop
from tests.pages.deeds import DONE, check, why
from tests.pages.keyboard import go_to, has_focus, press
from tests.pages.table import BOSS

LIST: Final = "/admin/orders/channelorder/"
SUBMIT: Final = "form[action$='/steer/'] input[type=submit]"
WINDOWS: Final[list[tuple[str, Theme]]] = [
    ("desktop", "light"), ("phone", "dark"), ("desktop", "dark"), ("phone", "light"),
]  # fmt: skip
#: Those that cannot be taken back, and those with which a buyer's money goes somewhere.
QUICK: Final = [
    ("cancel", 0), ("pay_back", 1), ("grant_refund", 0), ("override_lease_by_force", 1), ("return_money", 0),
]  # fmt: skip


def test_every_deed_is_known_here() -> None:
    assert DONE.keys() == DEEDS.keys()


@pytest.mark.parametrize(("name", "window"), QUICK)
def test_what_moves_money_is_done_without_a_mouse(
    name: str, window: int, shop: Shop, opened: Opened, arranged: Arranged
) -> None:
    walk(name, shop, opened, arranged, window)


@pytest.mark.long
@pytest.mark.parametrize("window", range(len(WINDOWS)))
@pytest.mark.parametrize("name", DEEDS)
def test_every_deed_is_done_without_a_mouse(
    name: str, window: int, shop: Shop, opened: Opened, arranged: Arranged
) -> None:
    walk(name, shop, opened, arranged, window)


def walk(name: str, shop: Shop, opened: Opened, arranged: Arranged, window: int) -> None:
    deed, (order_id, reference) = DEEDS[name], arranged(name)
    looked = opened(BOSS, *WINDOWS[window])
    (choose_in_the_list if deed.is_for_many else press_on_the_page)(looked, deed, reference)
    if deed.fields:
        type_what_is_asked(looked, deed, order_id)
    if deed.asks:
        confirm(looked, deed, order_id)
    looked.page.wait_for_selector(f".messagelist .success:has-text('{deed.done}: {order_id[:8]}.')")
    looked.check()
    check(shop, DONE[name], order_id)


def press_on_the_page(looked: Looked, deed: Deed, reference: str) -> None:
    page = looked.open(f"{LIST}{reference}/change/")
    looked.check()
    press(page, f"button[name=deed][value={deed.name}]")


def choose_in_the_list(looked: Looked, deed: Deed, reference: str) -> None:
    """The row is ticked, and the deed named as a keyboard names it: by its first letters."""
    page = looked.open(f"{LIST}?q={reference}")
    assert page.locator("#result_list tbody tr").count() == 1
    press(page, "input.action-select", key="Space")
    go_to(page, "select[name=action]", key="Shift+Tab")
    page.keyboard.type(deed.label)
    assert page.input_value("select[name=action]") == deed.name
    press(page, "button[name=index]")


def type_what_is_asked(looked: Looked, deed: Deed, order_id: str) -> None:
    page = looked.page
    page.wait_for_selector("#typed")
    looked.check()
    assert has_focus(page, "#typed"), "who has no mouse begins to type at once"
    for number, text in enumerate(DONE[deed.name].typed, start=1):
        go_to(page, f"#typed{number if number > 1 else ''}")
        page.keyboard.type(text or why(order_id))
    press(page, SUBMIT)


def confirm(looked: Looked, deed: Deed, order_id: str) -> None:
    page = looked.page
    page.wait_for_selector("input[name=sure]", state="attached")
    looked.check()
    assert foreseen(page, order_id)
    if deed.second:
        press(page, "input[name=second]", key="Space")
    press(page, SUBMIT)


def foreseen(page: Page, order_id: str) -> str:
    """What becomes of the money of this one order, as the page says before it is done."""
    row = page.locator(".lsp-asked tbody tr")
    assert order_id in row.inner_text()
    return row.locator(".lsp-then").inner_text().strip()
