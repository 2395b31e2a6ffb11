"""The chain turns against a signed funding: dearer blocks, a coin spent by another. Each on a network of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orders import models
from orders.payments import security
from orders.payments.onchain import depth
from tests.chaos.conftest import Engine
from tests.chaos.test_kills import assert_whole, finish
from tests.chaos.test_losses import advance_until, committed
from tests.e2e.shop import Shop
from tests.regtest.network import Network


@pytest.fixture
def network(network: Network) -> Iterator[Network]:
    """A network whose chain may be restarted: the shared one is left alone (and its skip is ours)."""
    with Network() as own:
        yield own


def test_a_fee_floor_that_rises_after_signing_ends_in_one_dearer_funding(
    shop: Shop, engine: Engine, settings: Any
) -> None:
    settings.PUBLISH_PATIENCE_SECONDS = 0
    models.Service.objects.update(minimum_fee_sat=20_000)  # else the order has not paid for two
    quote, payment = committed(shop, engine)
    first = models.WalletTransaction.objects.get(label=f"funding:{quote['order_id']}").txid
    try:
        shop.network.restart_chain("--minrelaytxfee=0.0006")  # 60 sat/vB, above the estimate of 25
        advance_until(shop, quote, lambda: "funding_put_out" in shop.journal(quote), "the first is put out")
        shop.network.restart_chain()
        finish(shop, quote)
    finally:
        shop.network.restart_chain()
    assert_whole(shop, quote, payment)
    assert shop.opening(quote).funding_outpoint.partition(":")[0] != first


def test_a_coin_double_spent_six_deep_is_followed_by_another_funding(shop: Shop, engine: Engine) -> None:
    quote, payment = committed(shop, engine)
    raw = bytes(models.WalletTransaction.objects.get(label=f"funding:{quote['order_id']}").raw or b"")
    first = shop.network.chain.send_raw(raw.hex())
    rival = shop.network.lsp.rival_of(first)
    shop.network.chain.mine_only([rival])  # a miner had the other one
    shop.network.wait_synced()
    advance_until(shop, quote, lambda: "opening_failed" in shop.journal(quote), "the first attempt has failed")
    assert shop.order(quote).openings.get(attempt=1).failure_reason == "FUNDING_CONFLICT"
    finish(shop, quote)
    assert_whole(shop, quote, payment)


def paid_then_double_spent(shop: Shop, settings: Any) -> dict[str, Any]:
    """An order paid on chain, claimed; then both of its payment's blocks are taken back and a rival is mined."""
    settings.ONCHAIN_CONFIRMATIONS = 2
    quote = shop.buy()
    txid = shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    rival = shop.network.chain.rival_of(txid)
    shop.network.mine(2)
    shop.run(quote, "paid")
    shop.network.reorganise(2, [rival])
    shop.claim(quote)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    return quote


def test_a_deposit_taken_back_by_two_blocks_stops_attempts(shop: Shop, settings: Any) -> None:
    """The node's wallet goes on listing such a deposit, ever deeper: it is the chain that is asked."""
    quote = paid_then_double_spent(shop, settings)
    assert shop.order(quote).state == "uri_set"
    assert "opening_begun" not in shop.journal(quote)
    assert shop.seen(quote)["onchain_payments"][0]["confirmed"] is False
    assert shop.order(quote).needs_staff


def test_control_without_asking_the_chain_a_channel_is_given_away(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "as_the_chain_has_them", lambda node, transactions: transactions)
    monkeypatch.setattr(security, "insecurity", lambda order: "")  # our own records know it too
    quote = paid_then_double_spent(shop, settings)
    assert "opening_begun" in shop.journal(quote)
