"""A channel that is usable before its funding is in any block: sold, refused, and what is known of it when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orders.models import ChannelOrder
from orders.states import OrderState
from tests.chaos.test_losses import advance_until
from tests.e2e.shop import Shop

Quote = dict[str, Any]


def buy_at_once(shop: Shop, wallet: Any, **body: Any) -> Quote:
    """Quoted for this wallet, which asks for a channel of no confirmations."""
    quote = shop.buy(node_uri=wallet.p2p_address, **body)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(required_channel_confirmations=0)
    shop.pay(quote)
    return quote


def test_a_zero_conf_channel_is_open_before_any_block_and_its_lease_begins_with_its_funding(
    shop: Shop, add_peer: Callable[..., Any]
) -> None:
    wallet = add_peer()
    with wallet.accepting_zero_conf():
        quote = buy_at_once(shop, wallet)
        before = shop.network.chain.height
        order = shop.run(quote, OrderState.OPEN)
    assert shop.network.chain.height == before, "it waited for a block"
    opening = shop.opening(quote)
    assert opening.zero_conf and opening.funding_outpoint.partition(":")[0] in shop.network.chain.mempool()
    channel = shop.channel_at(wallet, quote)
    assert channel.active and channel.zero_conf and not channel.zero_conf_confirmed_scid
    assert (order.lease_starts_height, opening.short_channel_id) == (None, "") and opening.alias
    assert shop.seen(quote)["lightning_channel_id"] is None  # what a block will give it
    causes = shop.journal(quote)
    assert causes.index("opening_committed") < causes.index("funding_signed") < causes.index("funding_published")
    assert causes.index("funding_published") < causes.index("payment_settled")
    advance_until(shop, quote, lambda: bool(shop.opening(quote).short_channel_id), "it has a place in the chain")
    shop.assert_delivered(quote, wallet)
    order, alias = shop.order(quote), opening.alias
    assert order.lease_starts_height == before + 1
    assert shop.opening(quote).short_channel_id.partition("x")[0] == str(order.lease_starts_height)
    assert shop.opening(quote).alias == alias  # its name in the node's history for ever


def test_who_takes_no_zero_conf_channel_gets_an_ordinary_one(shop: Shop, add_peer: Callable[..., Any]) -> None:
    """Whatever asks nobody whether to accept it: LND refuses such channels, and says only that it does."""
    wallet = add_peer()
    quote = buy_at_once(shop, wallet)
    advance_until(shop, quote, lambda: "funding_published" in shop.journal(quote), "published", mine=False)
    order = shop.order(quote)
    assert order.state == OrderState.OPENING  # it waits for its block, as any other
    assert "zero_conf_refused" in shop.journal(quote) and "opening_committed" not in shop.journal(quote)
    assert [row.zero_conf for row in order.openings.all()] == [True, False]
    shop.run(quote, OrderState.OPEN, mine=True)
    shop.assert_delivered(quote, wallet)
