"""Whole purchases by LSPS1 over REST: what wallets read at each step, and the channel that they get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders.models import ChannelOrder
from tests.e2e.shop import Shop
from tests.fakes import regtest_address
from tests.integration.test_lsps1_order import same_facts
from tests.regtest.payment import SUCCEEDED

Order = dict[str, Any]


@pytest.fixture(autouse=True)
def deep_again(network: Any) -> Iterator[None]:
    """The change of one test's fundings is there for the next one's."""
    yield
    network.mine(6)


def ordered(shop: Shop, public_key: str, **changes: Any) -> Order:
    body = {
        "lsp_balance_sat": "500000",
        "client_balance_sat": "0",
        "required_channel_confirmations": 1,
        "funding_confirms_within_blocks": 6,
        "channel_expiry_blocks": 4032,
        "announce_channel": False,
        "public_key": public_key,
    }
    said = shop.post("/api/v1/create_order", **(body | changes))
    return said | {"ln_invoice": said["payment"]["bolt11"]["invoice"]}


def seen(shop: Shop, order: Order) -> Order:
    """As LSPS1 tells it, compared with what the other door tells."""
    said = shop.get("/api/lsps1/v1/get_order", order_id=order["order_id"])
    same_facts(shop.seen(order), said)
    return said


def states(said: Order) -> tuple[str, str, bool]:
    return said["order_state"], said["payment"]["bolt11"]["state"], said["channel"] is not None


def test_l1_41_42_78_held_until_it_is_published_and_paid_from_then_on(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    order = ordered(shop, wallet.p2p_address)
    assert states(seen(shop, order)) == ("CREATED", "EXPECT_PAYMENT", False)
    wallet.kill()
    payment = shop.pay(order)
    shop.run(order, "uri_set")
    assert states(seen(shop, order)) == ("CREATED", "HOLD", False)
    wallet.start()
    shop.hurry(order)
    shop.run(order, "open", mine=True)
    said = seen(shop, order)
    assert states(said) == ("COMPLETED", "PAID", True)
    assert said["channel"]["funding_outpoint"] == shop.opening(order).funding_outpoint
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(order, wallet)


def test_l1_72_73_74_the_channel_is_as_asked(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    order = ordered(shop, wallet.p2p_address, client_balance_sat="30000", announce_channel=True)
    shop.pay(order)
    shop.run(order, "open", mine=True)
    shop.assert_delivered(order, wallet)  # its size, and what is pushed
    assert shop.channel_at(wallet, order).private is False


def test_l1_70_56_paid_on_chain_it_opens_once_that_counts(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    order = ordered(shop, wallet.p2p_address, refund_onchain_address=regtest_address(77))
    onchain = order["payment"]["onchain"]
    shop.network.chain.send(onchain["address"], int(onchain["order_total_sat"]))
    shop.turn()
    assert seen(shop, order)["payment"]["onchain"]["state"] == "EXPECT_PAYMENT"
    shop.network.mine(1)
    shop.run(order, "open", mine=True)
    payment = seen(shop, order)["payment"]
    assert (payment["onchain"]["state"], payment["bolt11"]["state"]) == ("PAID", "EXPECT_PAYMENT")
    shop.assert_delivered(order, wallet)


def test_l1_71_a_node_named_by_its_key_alone_is_waited_for_until_it_connects(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    order = ordered(shop, wallet.pubkey)
    shop.pay(order)
    shop.run(order, "uri_set")
    shop.turn()
    assert shop.order(order).last_failure_reason == "PEER_NOT_REACHABLE"
    assert states(seen(shop, order)) == ("CREATED", "HOLD", False)
    shop.node.connect(NodeAddress.parse(wallet.p2p_address), timeout_seconds=5)
    shop.hurry(order)
    shop.run(order, "open", mine=True)
    shop.assert_delivered(order, wallet)


def test_l1_71_a_node_named_by_its_key_alone_is_dialled_where_it_has_announced_itself(
    shop: Shop, add_peer: Any
) -> None:
    wallet = add_peer()
    wallet.change(is_announced=True)
    order = ordered(shop, wallet.pubkey)
    assert shop.order(order).node_host == ""
    shop.pay(order)
    shop.run(order, "open", mine=True)
    shop.assert_delivered(order, wallet)


def test_l1_43_80_what_cannot_be_opened_fails_and_goes_back(shop: Shop, add_peer: Any, settings: Any) -> None:
    wallet = add_peer()
    wallet.change(refusal="no inbound channels accepted")
    order = ordered(shop, wallet.p2p_address)
    payment = shop.pay(order)
    settings.GIVE_UP_GRACE_SECONDS = 0
    shop.run(order, "refunded")
    assert states(seen(shop, order)) == ("FAILED", "REFUNDED", False)
    assert payment.wait() != SUCCEEDED
    shop.assert_nothing_left(order)


def test_l1_44_what_is_not_paid_in_time_cannot_be_paid_any_more(shop: Shop, add_peer: Any) -> None:
    order = ordered(shop, add_peer().p2p_address)
    ChannelOrder.objects.filter(pk=order["order_id"]).update(expires_at=timezone.now(), due_at=timezone.now())
    shop.run(order, "expired")
    assert states(seen(shop, order)) == ("FAILED", "EXPECT_PAYMENT", False)
    assert shop.wallet.pay(order["ln_invoice"]).wait() != SUCCEEDED
