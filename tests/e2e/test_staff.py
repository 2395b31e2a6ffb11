"""Staff at the admin's pages, logged in by password: a refund that they send off, and a node that they list, by both
nodes' word.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from orders.models import Ban
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, assert_went_back, deposit, expired, paid_out, until_refund
from tests.integration.staff import do, journal, page_of, seen, staff
from tests.regtest.payment import FAILED
from tests.regtest.waiting import until

PASSWORD = "Quietly7Walks"


@pytest.fixture
def ada(shop: Shop) -> Client:
    """Her browser: she steers orders, and lists whom we do not serve."""
    user = staff("ada", "view_channelorder", "change_channelorder", "add_ban")
    user.set_password(PASSWORD)
    user.save()
    client = Client()
    answer = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 302 and client.get("/admin/").status_code == 200
    return client


def test_what_came_too_late_goes_where_staff_say_and_is_in_the_buyers_wallet(
    shop: Shop, ada: Client, settings: Any
) -> None:
    quote = expired(shop, settings)
    deposit(shop, quote, 40_000)
    refund, address = until_refund(shop, quote, "due"), shop.wallet.new_address()
    assert "for an address, where 40,000 sat go back to" in seen(ada.get(page_of(shop.order(quote))))
    asked = do(ada, "pay_back", shop.order(quote), typed=address)
    assert "40,000 sat" in asked and not shop.order(quote).refund_address  # nothing is done before it is confirmed
    assert "Goes back to that address" in do(ada, "pay_back", shop.order(quote), typed=address, sure="yes")
    assert ("refund_address_given", "staff:ada") in journal(shop.order(quote))
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    refund = until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refund, address, 40_000)
    txid = refund.transaction.txid  # type: ignore[union-attr]  # it was sent
    shop.wallet.wait_synced()
    theirs = {each.tx_hash: each.amount for each in shop.wallet.transactions()}
    assert theirs[txid] == paid_out(shop, txid)[address] == refund.sent_sat
    assert shop.order(quote).state == "refunded"


def test_a_node_that_staff_list_neither_buys_nor_claims_and_what_waited_for_it_goes_back(
    shop: Shop, ada: Client, add_peer: Any
) -> None:
    peer = add_peer()
    unclaimed, claimed = shop.buy(), shop.buy()
    payments = [shop.pay(quote) for quote in (unclaimed, claimed)]
    for quote in (unclaimed, claimed):
        shop.run(quote, "paid")
    shop.claim(claimed, peer)
    asked = do(ada, "ban_node", shop.order(claimed), typed="He sends spam.")
    assert "1 paid order waits with it: given up at once" in asked and not Ban.objects.exists()
    assert "Its node is served no more" in do(ada, "ban_node", shop.order(claimed), typed="He sends spam.", sure="yes")
    ban = Ban.objects.get()
    assert (ban.value, ban.created_by) == (peer.pubkey, "staff:ada")
    for path, body in (
        ("/channel/buy", {"local_balance": 500_000, "channel_expiry": 4}),
        ("/channel/manual_finalise", {"order_id": unclaimed["order_id"]}),
    ):
        answer = shop.client.post(path, body | {"node_uri": peer.p2p_address}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (403, "not_served", "node_uri")
    shop.run(claimed, "refunded")
    assert payments[1].wait() == FAILED
    assert shop.order(unclaimed).state == "paid"
    assert payments[0].status() == "IN_FLIGHT"  # it may name another node
    shop.network.mine(1)
    for node, other in ((shop.network.lsp, peer), (peer, shop.network.lsp)):
        until(lambda node=node: not node.pending_channels().pending_open_channels, "nothing is pending")
        assert not node.channels(other)
    assert not shop.order(claimed).openings.exists()
    shop.claim(unclaimed)
    shop.run(unclaimed, "open", mine=True)
    shop.assert_delivered(unclaimed)
