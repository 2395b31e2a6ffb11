"""A block is no reason to refuse anybody, although lnd says for a moment that it does not know the whole chain."""

from __future__ import annotations

from orders import reconcile
from tests.e2e.shop import Shop

_BLOCKS = 12


def test_found_d1_no_block_stops_sales(shop: Shop) -> None:
    """Each is followed by a look at once, as the streams make one, and that by a purchase."""
    reconcile.look(shop.node)
    for _ in range(_BLOCKS):
        mine = getattr(shop.network.chain, "mine", shop.network.mine)  # without waiting for the nodes
        mine(1)
        reconcile.look(shop.node)
        shop.buy()
    shop.network.mine(1)
