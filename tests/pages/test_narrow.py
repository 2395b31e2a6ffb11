"""What is read on a phone: tables of an order stand in rows, and nothing of a sum is beside the window."""

from __future__ import annotations

from typing import Final

import pytest

from tests.pages.conftest import Opened, Shop
from tests.pages.table import BOSS, VIEWER

#: By how much the widest of these goes beyond what it stands in.
_BEYOND: Final = """(wanted) => Math.max(0, ...[...document.querySelectorAll(wanted)].map(
  (each) => each.scrollWidth - each.clientWidth
))"""

#: Values that stand out of their frame, where what is beyond it is cut off.
_CUT_OFF: Final = """() => [...document.querySelectorAll('#channelorder_form .readonly')].filter(
  (each) => each.getBoundingClientRect().right > each.closest('fieldset').getBoundingClientRect().right
).map((each) => each.innerText)"""


@pytest.mark.parametrize("state", ["open", "rejected"])
def test_the_tables_of_an_order_are_not_pushed_to_and_fro(shop: Shop, opened: Opened, state: str) -> None:
    looked = opened(BOSS, "phone", "dark")
    page = looked.open(f"/admin/orders/channelorder/{shop.orders[state]}/change/")
    assert page.locator(".lsp-belonging td").count() > 10
    assert page.evaluate(_BEYOND, ".lsp-belonging .lsp-scroll") == 0
    assert page.evaluate(_CUT_OFF) == []
    first = page.locator(".lsp-belonging td:visible").first
    named = first.evaluate("(cell) => getComputedStyle(cell, '::before').content")
    assert named == f'"{first.get_attribute("data-label")}"', "a line says what it is about"


def test_the_sum_of_what_we_earn_is_read_at_a_glance(opened: Opened) -> None:
    page = opened(VIEWER, "phone", "dark").open("/admin/orders/channelorder/earnings/?from=2009-01-03&to=2999-12-31")
    assert page.locator(".lsp-sums tbody tr").count() > 5
    assert page.evaluate(_BEYOND, ".lsp-scroll:has(.lsp-sums)") == 0


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_picture_of_the_secret_stands_between_two_lines(opened: Opened, size: str) -> None:
    page = opened(VIEWER, size, "light" if size == "desktop" else "dark").open("/admin/second-factor/enrol/")
    picture, secret = page.locator(".lsp-qr").bounding_box(), page.locator("#secret").bounding_box()
    words = page.locator(".lsp-steps > li").first.evaluate(
        "(step) => { const of = document.createRange(); of.selectNodeContents(step.firstChild);"
        " return of.getBoundingClientRect().bottom; }"
    )
    assert picture is not None and secret is not None
    assert words <= picture["y"] and picture["y"] + picture["height"] <= secret["y"]
    assert abs(picture["width"] - picture["height"]) < 4, "a picture that is squeezed cannot be read"
