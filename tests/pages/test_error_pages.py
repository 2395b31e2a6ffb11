"""What staff read where no page could be shown stands in the admin's frame, on every window, and all can use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.pages.browsing import Looked
from tests.pages.conftest import Opened, Shop
from tests.pages.table import BOSS, VIEWER
from tests.pages.test_walk import QUICK, Theme

_RENAME: Final = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")
import django
django.setup()
from django.db import connection
connection.cursor().execute("ALTER TABLE {} RENAME TO {}")
"""
#: The browser's own word to an answer that is no 200.
_NO_PAGE: Final = "Failed to load resource: the server responded with a status of"


@contextmanager
def broken(shop: Shop, table: str) -> Iterator[None]:
    """Nobody can read this table."""
    shop.run("-c", _RENAME.format(table, f"{table}_away"))
    try:
        yield
    finally:
        shop.run("-c", _RENAME.format(f"{table}_away", table))


def told(looked: Looked, path: str, status: int, title: str) -> None:
    looked.faults.clear()
    answer = looked.page.goto(path, wait_until="load")
    assert answer is not None and answer.status == status
    assert looked.page.inner_text("h1") == title
    usable(looked)


def usable(looked: Looked) -> None:
    """As any page, and back to the first in one step by keyboard."""
    looked.faults[:] = [fault for fault in looked.faults if _NO_PAGE not in fault]
    looked.check()
    assert looked.page.locator(".lsp-nowhere a[href='/admin/']").is_visible()


@pytest.mark.parametrize(("size", "theme"), QUICK)
def test_what_is_not_there_not_allowed_or_broken_is_said_on_a_page(
    shop: Shop, opened: Opened, size: str, theme: Theme
) -> None:
    told(opened(BOSS, size, theme), "/admin/nowhere/", 404, "There is no such page")
    told(opened(VIEWER, size, theme), "/admin/orders/service/add/", 403, "This is not yours to see or do")
    with broken(shop, "orders_bookscheck"):
        told(opened(BOSS, size, theme), "/admin/", 500, "Something went wrong here")
    with broken(shop, "django_session"):  # nobody can be told who asks
        told(opened(BOSS, size, theme), "/admin/", 500, "Something went wrong here")


@pytest.mark.parametrize(("size", "theme"), QUICK)
def test_a_form_of_which_the_browser_has_lost_its_cookie_says_what_to_do(
    opened: Opened, size: str, theme: Theme
) -> None:
    looked = opened(BOSS, size, theme)
    page = looked.open("/admin/orders/ban/add/")
    page.context.clear_cookies(name="csrftoken")
    page.locator("input[name=_save]").click()
    assert page.inner_text("h1") == "Nothing was done"
    usable(looked)
