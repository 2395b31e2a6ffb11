"""Every page for staff, in a browser: it asks nobody else, breaks no rule of its own policy, and all can use it."""

from __future__ import annotations

import pytest

from tests.pages.browsing import Theme
from tests.pages.conftest import Opened, Shop
from tests.pages.table import MORE, PAGES

QUICK: list[tuple[str, Theme]] = [("desktop", "light"), ("phone", "dark")]
OTHERS: list[tuple[str, Theme]] = [("desktop", "dark"), ("phone", "light")]


def walk(name: str, shop: Shop, opened: Opened, size: str, theme: Theme) -> None:
    path, who = (PAGES | MORE)[name]
    looked = opened(who, size, theme)
    looked.open(path.format(**shop.orders))
    looked.check()


@pytest.mark.parametrize(("size", "theme"), QUICK)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_for_everybody_and_asks_nobody_else(
    name: str, shop: Shop, opened: Opened, size: str, theme: Theme
) -> None:
    walk(name, shop, opened, size, theme)


@pytest.mark.long
@pytest.mark.parametrize(("size", "theme"), OTHERS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_in_the_other_theme_too(name: str, shop: Shop, opened: Opened, size: str, theme: Theme) -> None:
    walk(name, shop, opened, size, theme)


@pytest.mark.long
@pytest.mark.parametrize(("size", "theme"), QUICK + OTHERS)
@pytest.mark.parametrize("name", MORE)
def test_a_list_works_too(name: str, shop: Shop, opened: Opened, size: str, theme: Theme) -> None:
    walk(name, shop, opened, size, theme)
