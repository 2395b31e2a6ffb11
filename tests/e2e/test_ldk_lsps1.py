"""A wallet of ldk-node orders by LSPS1 over Lightning itself: its own client, which reads strictly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.ldk.wallet import Channel, LdkWallet, Refused
from tests.e2e.shop import Shop
from tests.e2e.test_ldk_wallet import DEEP_ENOUGH_BLOCKS
from tests.regtest.waiting import until
from tests.streams.conftest import listening


@pytest.fixture
def streams(shop: Shop) -> Iterator[None]:
    """A streams process answers peers."""
    with listening():
        yield
    gc.collect()  # the ended threads' connections to the database


def ordered(wallet: LdkWallet, lsp_balance_sat: int, client_balance_sat: int = 0) -> dict[str, Any]:
    """Its order. It tells us only that it was not made where an answer is not what it expects, or none came."""

    def made() -> dict[str, Any] | None:
        try:
            return wallet.order(lsp_balance_sat, client_balance_sat)
        except Refused:  # the streams process may not have listened yet
            return None

    order = until(made, "the wallet's order is made", timeout=40)
    assert order is not None
    return order


def delivered(shop: Shop, wallet: LdkWallet, order: dict[str, Any]) -> Channel:
    """The channel as the wallet sees it, usable: by what it reads of its order, as blocks come."""

    def status() -> dict[str, Any] | None:
        shop.network.mine(1)
        told = wallet.order_status(order["id"])
        return told if told["channel"] else None

    told = until(status, "the wallet reads that its channel is funded", timeout=90, pause=1)
    assert told is not None
    point = told["channel"]["funding_outpoint"]
    shop.network.mine(DEEP_ENOUGH_BLOCKS)

    def usable() -> Channel | None:
        seen = wallet.channel(point)
        return seen if seen and seen.usable else None

    channel = until(usable, "the wallet can use its channel")
    assert channel is not None and channel.peer == shop.network.lsp.pubkey
    quote = {"order_id": order["id"]}
    shop.run(quote, "open", mine=True)
    assert shop.opening(quote).funding_outpoint == point
    shop.assert_journal_whole(quote)
    return channel


def test_a_wallet_buys_its_first_channel_on_chain_with_some_of_it_its_own_and_the_next_by_the_first(
    shop: Shop, ldk_buyer: LdkWallet, streams: None
) -> None:
    order = ordered(ldk_buyer, 500_000, 60_000)
    onchain = order["payment"]["onchain"]
    ldk_buyer.send(onchain["address"], int(onchain["order_total_sat"]))
    channel = delivered(shop, ldk_buyer, order)
    assert (channel.capacity_sat, channel.announced) == (560_000, False)
    assert channel.outbound_msat > 0

    second = ordered(ldk_buyer, 400_000)
    ldk_buyer.pay(second["payment"]["bolt11"]["invoice"])
    assert delivered(shop, ldk_buyer, second).capacity_sat == 400_000


def test_an_order_that_is_not_to_be_had_is_refused_in_words_that_the_wallet_reads(
    shop: Shop, ldk_buyer: LdkWallet, streams: None
) -> None:
    ordered(ldk_buyer, 500_000)
    with pytest.raises(Refused):
        ldk_buyer.order_status("00000000-0000-4000-8000-000000000000")
    assert ldk_buyer.order_status(ordered(ldk_buyer, 500_000)["id"])["channel"] is None


def test_a_wallet_that_is_killed_in_the_middle_of_its_purchase_reads_its_order_again_and_gets_its_channel_once(
    shop: Shop, ldk_buyer: LdkWallet, streams: None
) -> None:
    """Once before it pays, and once when it has paid and is gone as its channel is due."""
    order = ordered(ldk_buyer, 450_000)
    ldk_buyer.kill()
    ldk_buyer.open()
    assert ldk_buyer.order_status(order["id"])["payment"] == order["payment"]

    onchain = order["payment"]["onchain"]
    txid = ldk_buyer.send(onchain["address"], int(onchain["order_total_sat"]))
    until(lambda: txid in shop.network.chain.mempool(), "its payment is in the mempool")
    ldk_buyer.kill()
    shop.network.mine(1)
    quote = {"order_id": order["id"]}
    until(lambda: shop.order(quote).last_failure_reason == "PEER_NOT_REACHABLE", "the wallet is missed", timeout=60)
    assert shop.order(quote).state == "uri_set"

    ldk_buyer.open()
    assert delivered(shop, ldk_buyer, order).capacity_sat == 450_000
    labels = [each.label for each in shop.network.lsp.transactions()]
    assert labels.count(f"funding:{order['id']}") == 1
