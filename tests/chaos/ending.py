"""An order is seen through, in few looks: three blocks come at once, as a simulator can make them."""

from __future__ import annotations

from typing import Any

from tests.e2e.shop import Shop

#: A healthy order needs six; one whose funding is put out first, about ten.
_LOOKS = 25


def see_through(shop: Shop, quote: dict[str, Any]) -> None:
    """Everything runs again, blocks come, until the order is open and its funding deep."""
    for _ in range(_LOOKS):
        shop.hurry(quote)
        shop.turn()
        if "funding_confirmed" in shop.journal(quote) and shop.order(quote).state == "open":
            return
        shop.network.mine(3)
    raise AssertionError(f"not open after {_LOOKS} looks\n{shop.story(quote)}")
