"""What only the peer knows is found before the buyer pays, and of the question nothing is left: whole purchases."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders.models import ChannelOpening, DryRun
from tests.e2e.shop import Shop

Quote = dict[str, Any]


@pytest.fixture(autouse=True)
def _asks(settings: Any, network: Any) -> Iterator[None]:
    settings.PREFLIGHT_DRY_RUN = True
    yield
    network.mine(6)


@pytest.fixture
def wallet(shop: Shop, add_peer: Any) -> Any:
    """A node with one place for a pending channel, as LND has where nobody says otherwise, connected to ours."""
    peer = add_peer("--maxpendingchannels=1")
    key, _, host = peer.p2p_address.partition("@")
    shop.node.connect(NodeAddress(key, host), timeout_seconds=5)
    return peer


def warned(quote: Quote) -> list[tuple[str, str, Any]]:
    return [(each["code"], each["field"], each["works"]) for each in quote["warnings"]]


def delivered(shop: Shop, quote: Quote, wallet: Any) -> list[str]:
    """The purchase goes on to its channel; why each attempt that failed did."""
    shop.pay(quote)
    shop.run(quote, "open", mine=True)
    return [row.failure_reason for row in shop.order(quote).openings.all() if row.failure_reason]


def test_the_least_size_that_a_node_takes_is_told_before_the_buyer_pays_and_works(shop: Shop, wallet: Any) -> None:
    wallet.change(min_channel_sat=900_000)
    assert warned(shop.buy(node_uri=wallet.p2p_address)) == [("CHAN_SIZE_TOO_SMALL", "local_balance", 900_000)]
    better = shop.buy(node_uri=wallet.p2p_address, local_balance=900_000)
    assert warned(better) == []
    assert delivered(shop, better, wallet) == []
    assert DryRun.objects.filter(ended_at=None).count() == 0


def test_a_wallet_that_takes_no_public_channel_says_so_before_it_is_paid_for(shop: Shop, wallet: Any) -> None:
    wallet.change(refuses_announced=True)
    quote = shop.buy(node_uri=wallet.p2p_address, private=False)
    assert warned(quote) == [("ANNOUNCEMENT_REJECTED", "private", True)]
    assert warned(shop.buy(node_uri=wallet.p2p_address, private=True)) == []


def test_a_node_that_takes_no_pushed_money_is_offered_a_channel_without(shop: Shop, wallet: Any) -> None:
    wallet.change(refuses_push=True)
    quote = shop.buy(node_uri=wallet.p2p_address, remote_balance=50_000)
    assert warned(quote) == [("PEER_POLICY", "remote_balance", 0)]


def test_a_node_that_does_not_answer_keeps_the_buyer_for_a_moment_and_its_place_is_free_again(
    shop: Shop, wallet: Any
) -> None:
    wallet.change(withholds_answer=True)
    quote = shop.buy(node_uri=wallet.p2p_address)
    assert warned(quote) == [] and DryRun.objects.get().accepted is None
    wallet.change(withholds_answer=False)
    assert delivered(shop, quote, wallet) == []


def _left_by_a_death(shop: Shop, wallet: Any) -> None:
    """The peer has accepted what nobody goes on with: its one place is taken."""
    chan_id = secrets.token_bytes(32)
    pubkey = wallet.p2p_address.partition("@")[0]
    channel = {"capacity_sat": 500_000, "push_sat": 0}
    DryRun.objects.create(
        node_pubkey=pubkey, announced=False, pending_chan_id=chan_id, begun_at=timezone.now(), **channel
    )
    negotiation = shop.node.open_channel(pubkey=pubkey, pending_chan_id=chan_id, private=True, memo="", **channel)
    negotiation.funding_request(timeout_seconds=5)
    negotiation.close()


def test_a_real_attempt_frees_the_place_that_a_dry_run_has_at_its_peer(shop: Shop, wallet: Any) -> None:
    _left_by_a_death(shop, wallet)
    assert delivered(shop, shop.buy(node_uri=wallet.p2p_address), wallet) == []


def test_control_without_that_the_attempt_is_refused(shop: Shop, wallet: Any, settings: Any) -> None:
    _left_by_a_death(shop, wallet)
    settings.PREFLIGHT_DRY_RUN = False
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    shop.turn()
    assert ChannelOpening.objects.get().failure_reason == "PEER_TOO_MANY_PENDING_CHANNELS"


def test_while_a_channel_is_pending_nobody_is_asked_and_the_buyer_is_told_why(shop: Shop, wallet: Any) -> None:
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    shop.run(quote, "opening")
    asked = DryRun.objects.count()
    again = shop.buy(node_uri=wallet.p2p_address, local_balance=600_000)
    assert warned(again) == [("PEER_TOO_MANY_PENDING_CHANNELS", "node_uri", 1)]
    assert DryRun.objects.count() == asked
