"""The first page in a browser: its charts are drawn, read by keyboard, and follow the theme; a pause needs no mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.pages.conftest import Opened, Shop
from tests.pages.table import BOSS, VIEWER

CHARTS = ("sales", "fees", "size", "waiting", "attempts")
#: How many points of a picture have a colour that its ground has not.
DRAWN = """(name) => {
  const canvas = document.getElementById(`chart-${name}`);
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let drawn = 0;
  for (let at = 3; at < data.length; at += 4) if (data[at] > 0) drawn += 1;
  return drawn;
}"""
COLOUR = "(name) => Chart.getChart(`chart-${name}`).data.datasets[0].backgroundColor"
TOOLTIP = "(name) => { const tip = Chart.getChart(`chart-${name}`).tooltip; return tip.opacity ? tip.title[0] : null; }"


def card(name: str) -> str:
    return f"section[aria-labelledby=chart-{name}-title]"


def quarter(opened: Opened, size: str = "desktop") -> Page:
    return opened(BOSS, size, "light" if size == "desktop" else "dark").open("/admin/?period=quarter")


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_every_chart_is_drawn_and_has_its_numbers_in_a_table(opened: Opened, size: str) -> None:
    page = quarter(opened, size)
    for name in CHARTS:
        assert page.evaluate(DRAWN, name) > 1_000, name
        rows = page.locator(f"{card(name)} tbody tr")
        assert rows.count() > 10
    assert page.locator(f"{card('fees')} thead").text_content() == "whenfees (sat)"


def test_the_pointer_and_the_arrow_keys_tell_the_same_value(opened: Opened) -> None:
    page = quarter(opened)
    said = page.locator(f"{card('fees')} .lsp-said")
    page.focus("#chart-fees")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    day, _, value = said.inner_text().partition(": ")
    assert value.startswith("fees ") and value.endswith(" sat") and page.evaluate(TOOLTIP, "fees") == day
    page.keyboard.press("Escape")
    assert said.inner_text() == "" and page.evaluate(TOOLTIP, "fees") is None
    box = page.locator("#chart-fees").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"({TOOLTIP})('fees') !== null")


def test_charts_follow_the_admins_own_theme(opened: Opened) -> None:
    page = quarter(opened)
    light = page.evaluate(COLOUR, "fees")
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    page.wait_for_function(f"(was) => ({COLOUR})('fees') !== was", arg=light)
    page.evaluate("() => { document.documentElement.dataset.theme = 'auto'; }")
    page.wait_for_function(f"(was) => ({COLOUR})('fees') === was", arg=light)


def test_a_period_is_chosen_by_keyboard_and_stands_in_the_address(opened: Opened) -> None:
    page = opened(VIEWER, "desktop", "light").open("/admin/")
    page.focus(".lsp-lengths >> text=Week")
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/?period=week")
    assert page.locator(".lsp-lengths [aria-current]").inner_text() == "Week"
    page.fill("#from", "2026-01-01")
    page.fill("#to", "2026-01-31")
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/?from=2026-01-01&to=2026-01-31")
    assert "Nothing in this time." in page.content() or page.locator("canvas").count() > 0


def test_sales_are_paused_and_resumed_without_a_mouse(opened: Opened, shop: Shop) -> None:
    looked = opened(BOSS, "desktop", "light")
    page = looked.open("/admin/")
    page.focus("#why-sales")
    page.keyboard.type("We look at the node.")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Resume sales")
    assert b"We look at the node." in shop.get("/node/info")
    looked.check()
    page.focus("button:has-text('Resume sales')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#why-sales")
    assert b"We look at the node." not in shop.get("/node/info")


def test_what_needs_a_person_leads_to_as_many_rows(opened: Opened) -> None:
    page = opened(BOSS, "desktop", "light").open("/admin/")
    call = page.locator(".lsp-call a", has_text="cancelled with the money")
    number = int(call.inner_text().split()[0])
    call.click()
    page.wait_for_selector("#result_list")
    assert page.locator("#result_list tbody tr").count() == number
