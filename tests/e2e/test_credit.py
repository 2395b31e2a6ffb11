"""An order that is paid by a deposit in no block, on a real chain: taken, delivered; and replaced, at whose cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lightning.node import LndNode
from lightning.types import FeeRates
from orders.models import Credit
from orders.payments.onchain import crediting, foreseeing
from tests.e2e.shop import Shop
from tests.e2e.test_foreseen_deposits import Payer, asked_again, is_seen, url_of
from tests.e2e.test_refunds import FINAL
from tests.regtest.waiting import until

RATE = 2_500
FEE_SAT = 20_000


@pytest.fixture
def trusting(shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop that takes orders of 200,000 sat in no block, and two of them at a time."""
    chain = shop.network.chain
    monkeypatch.setattr(LndNode, "fee_rates", lambda self, *, conf_target: FeeRates(RATE, 253))
    settings.CHAIN_RPC, settings.CHAIN_RPC_CERT = url_of(chain), str(chain.certificate)
    settings.ZERO_CONF_MAX_SAT = settings.ZERO_CONF_NODE_MAX_SAT = 200_000
    settings.ZERO_CONF_TOTAL_MAX_SAT = 200_000
    foreseeing._source.cache_clear()
    yield shop
    foreseeing._source.cache_clear()
    if chain.mempool():
        shop.network.mine(1)


def bought(shop: Shop, **body: Any) -> dict[str, Any]:
    return shop.buy(local_balance=200_000, remote_balance=100_000, **body)


def test_a_deposit_in_no_block_buys_a_channel_whose_funding_is_in_the_same_block(trusting: Shop) -> None:
    shop = trusting
    quote = bought(shop, node_uri=shop.wallet.p2p_address)
    seen = shop.seen(quote)
    assert (seen["zero_conf"], seen["zero_conf_satvbyte"]) == (False, 10)
    assert seen["zero_conf_satvbyte_expiry"] == seen["order_expiry"]
    deposit = Payer(shop.network.chain).sends(quote["btc_address"], quote["total_amount"], FEE_SAT)
    is_seen(shop, quote)
    shop.run(quote, "opening")
    until(lambda: shop.turn() or "funding_published" in shop.journal(quote), "it is published")
    seen = shop.seen(quote)
    assert (seen["zero_conf"], seen["onchain_payments"][0]["zero_conf"]) == (True, True)
    funding = shop.opening(quote).funding_outpoint.partition(":")[0]
    assert {deposit, funding} <= set(shop.network.chain.mempool())
    spent = {str(outpoint) for outpoint in shop.node.transaction(funding).inputs}
    assert not any(coin.startswith(deposit) for coin in spent)  # a stranger's deposit never funds a channel
    assert crediting.outstanding_sat() == quote["total_amount"]
    shop.run(quote, "open", mine=True)
    shop.network.mine(FINAL)
    until(lambda: shop.hurry(quote) or shop.turn() or not shop.order(quote).on_credit, "the deposit is deep")
    shop.assert_delivered(quote)
    assert crediting.outstanding_sat() == 0
    assert [cause for cause in shop.journal(quote) if cause.startswith("credit")] == ["credit_given", "credit_redeemed"]


@pytest.mark.long
def test_one_that_is_replaced_before_it_buys_anything_costs_nothing(trusting: Shop) -> None:
    shop = trusting
    quote = bought(shop)
    payer = Payer(shop.network.chain)
    payer.sends(quote["btc_address"], quote["total_amount"], FEE_SAT)
    is_seen(shop, quote)
    shop.run(quote, "paid")
    payer.takes_back(3 * FEE_SAT)
    asked_again()
    shop.claim(quote)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert shop.order(quote).state == "uri_set" and "opening_begun" not in shop.journal(quote)
    shop.network.mine(1)  # the rival is in a block, and our wallet forgets what it replaced
    shop.run(quote, "expired")
    shop.assert_nothing_left(quote)
    assert crediting.outstanding_sat() == 0 and not shop.order(quote).needs_staff


def test_one_that_is_replaced_after_its_channel_was_published_is_a_named_loss_within_the_bound(trusting: Shop) -> None:
    shop = trusting
    quote = bought(shop, node_uri=shop.wallet.p2p_address)
    payer = Payer(shop.network.chain)
    payer.sends(quote["btc_address"], quote["total_amount"], FEE_SAT)
    is_seen(shop, quote)
    shop.run(quote, "opening")
    until(lambda: shop.turn() or "funding_published" in shop.journal(quote), "it is published")
    payer.takes_back(3 * FEE_SAT)
    shop.network.mine(1)
    until(lambda: shop.hurry(quote) or shop.turn() or "payment_lost" in shop.journal(quote), "the loss is named")
    shop.network.mine(FINAL)
    shop.run(quote, "open", mine=True)  # the channel is there, and nobody has paid for it
    assert [flag.kind for flag in shop.order(quote).standing if flag.kind != "deposit_vanished"] == ["unpaid_channel"]
    credit = Credit.objects.get(order=quote["order_id"])
    assert credit.lost_at is not None and credit.amount_sat == quote["total_amount"]
    # Nobody has seen it: the next one finds no room, and waits for its block.
    other = bought(shop)
    assert shop.seen(other)["zero_conf_satvbyte"] is False
    Payer(shop.network.chain).sends(other["btc_address"], other["total_amount"], FEE_SAT)
    is_seen(shop, other)
    asked_again()
    shop.turn()
    assert shop.order(other).state == "created"
    shop.network.mine(1)
    shop.run(other, "paid")


@pytest.mark.long
def test_a_replacement_that_pays_too_keeps_the_order_paid(trusting: Shop) -> None:
    shop = trusting
    quote = bought(shop)
    payer = Payer(shop.network.chain)
    payer.sends(quote["btc_address"], quote["total_amount"], FEE_SAT)
    is_seen(shop, quote)
    shop.run(quote, "paid")
    payer.sends(quote["btc_address"], quote["total_amount"], 3 * FEE_SAT)
    until(lambda: shop.turn() or len(shop.seen(quote)["onchain_payments"]) == 2, "the wallet has seen both")
    shop.claim(quote)
    shop.hurry(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
