"""A channel that passed for delivered and never was: whose its price is, in rows, books and wallet."""

from __future__ import annotations

from typing import Any

import pytest

from lightning.types import Outpoint
from orders import actors
from orders.openings import conflicting
from orders.operations import deciding
from tests.booking import balances
from tests.e2e.shop import Shop
from tests.e2e.test_closes import flags, point_of, proposals, sold
from tests.e2e.test_refunds import FINAL, paid_out, somewhere, until_refund
from tests.regtest.waiting import until


def double_spent(shop: Shop, quote: dict[str, Any]) -> None:
    """A block has what spends a coin of the funding, and more blocks follow."""
    funding = shop.opening(quote).transaction
    assert funding is not None
    rival, *_ = conflicting._sign(funding, shop.node, at_least_sat=0, if_enough_sat=5_000)
    shop.network.chain.mine_only([rival.hex()])
    shop.network.mine(FINAL)
    until(lambda: shop.hurry(quote) or shop.turn() or not shop.order(quote).live_opening, "the attempt is over")


@pytest.mark.parametrize("rail", ["lightning", "onchain"])
def test_of_an_abandoned_channel_whose_funding_is_double_spent_the_whole_price_goes_back(shop: Shop, rail: str) -> None:
    address = somewhere()
    if rail == "lightning":
        quote = sold(shop, "opening", refund_onchain_address=address)
    else:
        quote = shop.buy(local_balance=500_000, node_uri=shop.wallet.p2p_address, refund_onchain_address=address)
        shop.network.chain.send(quote["btc_address"], quote["total_amount"])
        shop.network.mine(1)
        shop.run(quote, "opening")
        until(lambda: shop.turn() or "funding_published" in shop.journal(quote), "the funding is published")
    shop.node.abandon_channel(Outpoint.parse(point_of(shop, quote)))
    until(lambda: shop.hurry(quote) or shop.turn() or shop.order(quote).state == "closed", "it is closed")
    order = shop.order(quote)
    assert proposals(quote) == [("proposed", "closed_unused", order.order_total_sat)]
    double_spent(shop, quote)
    cause = "not_delivered" if rail == "lightning" else "funding_conflicted"
    assert proposals(quote)[-1] == ("proposed", cause, order.order_total_sat)
    assert flags(shop, quote) == ["double_spent"]
    deciding.grant(order.pk, actor=actors.staff("ada"))
    until_refund(shop, quote, "published", number=1)
    shop.network.mine(FINAL)
    refund = until_refund(shop, quote, "done", number=1)
    assert refund.transaction is not None
    assert paid_out(shop, refund.transaction.txid)[address] == order.order_total_sat - refund.fee_sat
    assert balances(order).get("losses", 0) == 0
    assert not {"buyers_held", "buyers_onchain"} & balances(order).keys()
    shop.assert_journal_whole(quote)
