"""A wallet of ldk-node buys: another implementation's ideas of channels, with the defaults of both."""

from __future__ import annotations

from typing import Any

import pytest

from orders.models import Service
from orders.openings import opening
from orders.states import OrderState
from tests.clients.ldk.wallet import Channel, LdkWallet
from tests.e2e.shop import Shop
from tests.regtest.waiting import until

#: Blocks until a wallet of ldk-node uses a channel.
DEEP_ENOUGH_BLOCKS = 6


def paid(shop: Shop, wallet: LdkWallet, **body: Any) -> dict[str, Any]:
    """The order that the wallet has bought, and paid from its own coins."""
    quote = shop.buy(**body)
    txid = wallet.send(quote["btc_address"], quote["total_amount"])
    until(lambda: txid in shop.network.chain.mempool(), "the wallet's payment is in the mempool")
    shop.network.mine(1)
    shop.run(quote, "paid")
    return quote


def delivered(shop: Shop, wallet: LdkWallet, quote: dict[str, Any]) -> Channel:
    """The order's channel as the wallet sees it: open on both sides, and usable."""

    def published() -> bool:
        shop.turn()
        assert shop.order(quote).state != OrderState.GIVE_UP, shop.story(quote)
        return shop.order(quote).state == OrderState.OPENING

    def usable() -> Channel | None:
        seen = wallet.channel(outpoint)
        return seen if seen and seen.usable else None

    until(published, "the funding is published")
    shop.network.mine(DEEP_ENOUGH_BLOCKS)
    outpoint = shop.opening(quote).funding_outpoint
    theirs = until(usable, "the wallet can use its channel")
    shop.run(quote, "open")
    order, ours = shop.order(quote), shop.channel_at(shop.network.lsp, quote)
    assert (ours.memo, ours.remote_pubkey, ours.active) == (str(order.pk), wallet.pubkey, True)
    assert ours.private is not theirs.announced
    assert ours.capacity == theirs.capacity_sat == order.capacity_sat
    assert theirs.peer == shop.network.lsp.pubkey
    assert shop.seen(quote)["channel_open_tx"]["transaction_id"] == outpoint.partition(":")[0]
    shop.assert_journal_whole(quote)
    return theirs


def test_a_wallet_pays_from_its_own_coins_and_can_spend_what_it_bought(shop: Shop, ldk_wallet: LdkWallet) -> None:
    before_sat = ldk_wallet.spendable_sat()
    quote = paid(shop, ldk_wallet, remote_balance=100_000)
    assert ldk_wallet.spendable_sat() <= before_sat - quote["total_amount"]
    shop.claim(quote, ldk_wallet, private=True)
    channel = delivered(shop, ldk_wallet, quote)
    assert channel.announced is False
    payment = ldk_wallet.pay(shop.network.lsp.invoice(20_000))
    until(lambda: ldk_wallet.payment(payment) == "Succeeded", "the wallet's payment through its channel arrives")


def test_a_wallet_that_says_nothing_gets_its_channel_from_a_fresh_server(shop: Shop, ldk_wallet: LdkWallet) -> None:
    """It calls the node itself and names only its key, as behind a NAT."""
    quote = paid(shop, ldk_wallet)
    ldk_wallet.connect(shop.network.lsp)
    shop.post("/channel/manual_finalise", order_id=quote["order_id"], node_uri=ldk_wallet.pubkey)
    assert delivered(shop, ldk_wallet, quote).announced is False


def test_a_wallet_that_is_offline_when_its_channel_is_due_gets_it_when_it_is_back(
    shop: Shop, ldk_wallet: LdkWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CONNECT_SECONDS", 2)
    quote = paid(shop, ldk_wallet)
    ldk_wallet.go_offline()
    shop.claim(quote, ldk_wallet, private=True)
    try:
        until(lambda: shop.turn() or shop.order(quote).last_failure_reason, "the wallet is missed")
        assert (shop.order(quote).last_failure_reason, shop.order(quote).state) == ("PEER_NOT_REACHABLE", "uri_set")
    finally:
        ldk_wallet.go_online()
    delivered(shop, ldk_wallet, quote)


def test_a_refusal_of_an_announced_channel_that_nobody_asked_for_ends_with_an_unannounced_one(
    shop: Shop, ldk_wallet: LdkWallet
) -> None:
    Service.objects.update(announced_by_default=True)
    quote = paid(shop, ldk_wallet)
    shop.claim(quote, ldk_wallet)
    assert delivered(shop, ldk_wallet, quote).announced is False
