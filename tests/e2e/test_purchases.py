"""Each way to buy a channel, on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import bech32
from django.core.management import call_command

from orders.models import ChannelOrder, Service
from tests.e2e.shop import Shop
from tests.regtest.fixtures import AddPeer
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until


def decode_lnurl(text: str) -> str:
    """As a wallet does: the checksum holds, the words are bytes of a URL."""
    human, _, data = text.rpartition("1")
    words = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(letter) for letter in data]
    assert human == "lnurl" and bech32.bech32_verify_checksum(human, words)
    octets = bech32.convertbits(words[:-6], 5, 8, False)
    assert octets is not None
    return bytes(octets).decode()


def split_url(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))


@contextmanager
def only_coins(shop: Shop, count: int) -> Iterator[None]:
    """All but `count` of the LSP's coins are leased to nobody."""
    stranger = b"\x01" * 32
    shop.network.mine(6)
    coins = sorted(shop.node.coins(min_confirmations=1), key=lambda coin: coin.amount_sat, reverse=True)
    others = [coin.outpoint for coin in coins[count:]]
    for outpoint in others:
        shop.node.lease(outpoint, lock_id=stranger, seconds=600)
    yield
    for outpoint in others:
        shop.node.release(outpoint, lock_id=stranger)


def test_a_lightning_purchase_claimed_by_manual_finalise_delivers_the_channel(shop: Shop) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    seen = shop.seen(quote)
    assert (seen["state"], seen["payment_held"], seen["amount_received"]) == (100, True, quote["total_amount"])
    shop.claim(quote)
    shop.run(quote, "opening")
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert shop.seen(quote)["payment_held"] is False
    assert shop.journal(quote)[:6] == [
        "quoted", "lightning_payment_held", "claimed", "opening_begun", "opening_funded", "funding_signed",
    ]  # fmt: skip


def test_a_lightning_purchase_claimed_by_lnurl_delivers_the_channel(shop: Shop) -> None:
    """The wallet follows the bech32 string as LUD-01 and LUD-02 say."""
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    path, query = split_url(decode_lnurl(quote["lnurl_channel"]))
    offer = shop.get(path, **query)
    assert offer["tag"] == "channelRequest" and offer["k1"] == quote["order_id"]
    assert offer["uri"].startswith(shop.network.lsp.pubkey + "@")
    path, query = split_url(offer["callback"])
    assert query == {}
    claim = {"k1": offer["k1"], "remoteid": shop.wallet.pubkey, "private": "1"}
    assert shop.get(path, **claim) == {"status": "OK"}
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert shop.channel_at(shop.wallet, quote).private is True
    assert shop.get(path, **claim) == {"status": "OK"}
    other = "02" + "11" * 32
    assert shop.get(path, k1=offer["k1"], remoteid=other)["status"] == "ERROR"


def test_an_onchain_purchase_delivers_the_channel(shop: Shop) -> None:
    quote = shop.buy(private=True)
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    until(lambda: shop.turn() or shop.seen(quote)["onchain_payments"], "the deposit is seen")
    assert shop.seen(quote)["state_name"] == "CREATED"
    shop.network.mine(1)
    shop.run(quote, "paid")
    seen = shop.seen(quote)
    assert seen["payment_held"] is False and seen["amount_received"] == quote["total_amount"]
    assert shop.node.invoice(shop.order(quote).hold_invoice.payment_hash).state == "canceled"
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
    assert shop.channel_at(shop.wallet, quote).private is True


def test_a_node_named_at_purchase_gets_its_channel_as_soon_as_it_is_paid(shop: Shop) -> None:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    payment = shop.pay(quote)
    shop.run(quote, "opening")
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert "node_named_at_purchase" in shop.journal(quote)


def test_an_announced_channel_is_public_on_both_sides(shop: Shop) -> None:
    quote = shop.buy(private=True)
    shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote, private=False)  # the claim overrides the purchase
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
    assert shop.channel_at(shop.wallet, quote).private is False
    assert shop.channel_at(shop.network.lsp, quote).private is False


def test_the_balance_that_was_bought_is_pushed(shop: Shop) -> None:
    quote = shop.buy(remote_balance=100_000)
    assert quote["price"] == quote["total_amount"] - 100_000
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert shop.channel_at(shop.wallet, quote).push_amount_sat == 100_000


def test_a_peer_that_is_offline_at_first_gets_its_channel_later(shop: Shop, add_peer: AddPeer) -> None:
    phone = add_peer()
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    phone.pause()  # the port answers, the node does not
    shop.claim(quote, phone)
    until(lambda: shop.turn() or shop.order(quote).last_failure_reason, "the peer is missed", timeout=60)
    assert shop.order(quote).last_failure_reason == "PEER_NOT_REACHABLE"
    assert shop.order(quote).state == "uri_set" and payment.status() == "IN_FLIGHT"
    phone.resume()
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, phone)


def test_a_refusal_gives_up_and_a_retry_after_a_change_of_mind_opens(shop: Shop, add_peer: AddPeer) -> None:
    wallet = add_peer()
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    with wallet.refusing_channels("we only accept channels from friends"):
        shop.claim(quote, wallet)
        shop.run(quote, "give_up")
    seen = shop.seen(quote)
    assert (seen["state"], seen["give_up_reason"]) == (400, "PEER_POLICY")
    assert seen["channel_open_error"] and seen["payment_held"] is True
    shop.assert_nothing_left(quote)
    call_command("retry_give_up", order=[quote["order_id"]])
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, wallet)


def test_a_given_up_order_pays_back_after_the_grace(shop: Shop, add_peer: AddPeer, settings: Any) -> None:
    settings.GIVE_UP_GRACE_SECONDS = 1
    wallet = add_peer("--minchansize=900000")
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote, wallet)
    shop.run(quote, "give_up")
    assert shop.order(quote).give_up_reason == "CHAN_SIZE_TOO_SMALL"
    shop.hurry(quote)
    shop.run(quote, "refunded")
    assert payment.wait() == FAILED
    shop.assert_nothing_left(quote)


def test_a_payment_that_nobody_claims_goes_back_to_the_payer(shop: Shop, settings: Any) -> None:
    settings.CLAIM_WINDOW_SECONDS = 1
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "refunded", timeout=30)
    assert payment.wait() == FAILED
    seen = shop.seen(quote)
    assert (seen["state"], seen["payment_held"]) == (150, False)
    assert shop.node.invoice(shop.order(quote).hold_invoice.payment_hash).state == "canceled"
    shop.assert_nothing_left(quote)


def test_an_unpaid_order_expires_and_its_invoice_is_dead(shop: Shop, settings: Any) -> None:
    settings.ORDER_LIFETIME_SECONDS = 1
    quote = shop.buy()
    shop.run(quote, "expired", timeout=30)
    assert shop.seen(quote)["state"] == 410
    assert shop.node.invoice(shop.order(quote).hold_invoice.payment_hash).state == "canceled"
    assert shop.wallet.pay(quote["ln_invoice"]).wait() == FAILED
    answer = shop.client.post(
        "/channel/manual_finalise",
        {"order_id": quote["order_id"], "node_uri": shop.wallet.pubkey},
        content_type="application/json",
    )
    assert answer.status_code == 409 and answer.json()["code"] == "not_claimable"


def test_a_channel_that_the_peer_closes_is_closed(shop: Shop) -> None:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    shop.pay(quote)
    shop.run(quote, "open", mine=True)
    shop.wallet.close_channel(shop.opening(quote).funding_outpoint)
    shop.run(quote, "closing")
    shop.run(quote, "closed", mine=True)
    seen = shop.seen(quote)
    assert (seen["state"], seen["state_name"]) == (450, "CLOSED")
    assert len(seen["channel_close_tx"]["transaction_id"]) == 64
    assert shop.journal(quote)[-1] == "channel_closed"
    shop.assert_journal_whole(quote)


def test_two_orders_for_one_node_at_once_both_deliver(shop: Shop, add_peer: AddPeer) -> None:
    """The node admits one pending channel, as LND does by default."""
    wallet = add_peer("--maxpendingchannels=1")
    quotes = [shop.buy(node_uri=wallet.p2p_address) for _ in range(2)]
    payments = [shop.pay(quote) for quote in quotes]
    for quote in quotes:
        shop.run(quote, "open", mine=True)
    assert [payment.wait() for payment in payments] == [SUCCEEDED, SUCCEEDED]
    for quote in quotes:
        shop.assert_delivered(quote, wallet)


def test_ten_orders_at_once_with_three_coins_all_deliver(shop: Shop, add_peer: AddPeer, settings: Any) -> None:
    settings.UNPAID_SHARE_PERCENT = 100
    wallets = [add_peer(), add_peer()]
    with only_coins(shop, 3):
        quotes = [shop.buy(local_balance=100_000, node_uri=wallets[i % 2].p2p_address) for i in range(10)]
        payments = [shop.pay(quote) for quote in quotes]
        for quote in quotes:
            shop.run(quote, "open", mine=True, timeout=120)
    assert {payment.wait() for payment in payments} == {SUCCEEDED}
    for number, quote in enumerate(quotes):
        shop.assert_delivered(quote, wallets[number % 2])


def test_what_we_have_not_got_is_not_sold(shop: Shop) -> None:
    deepest = max(shop.node.coins(min_confirmations=6), key=lambda coin: coin.amount_sat)
    Service.objects.update(max_channel_sat=deepest.amount_sat + 1)
    with only_coins(shop, 0):
        shop.node.release(deepest.outpoint, lock_id=b"\x01" * 32)
        body = {"local_balance": deepest.amount_sat, "remote_balance": 0, "channel_expiry": 4}
        answer = shop.client.post("/channel/buy", body, content_type="application/json")
    assert answer.status_code == 503 and answer.json()["code"] == "not_available"
    assert int(answer["Retry-After"]) > 0
    assert not ChannelOrder.objects.exists()
