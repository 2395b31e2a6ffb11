"""A dry run on LND itself: the peer's own answer, and nothing left of the question on either side."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders.models import DryRun
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED


@pytest.fixture
def wallet(shop: Shop, add_peer: Any, settings: Any) -> Any:
    """A node with one place for a pending channel, connected to ours, that takes nothing below 900,000 satoshis."""
    settings.PREFLIGHT_DRY_RUN = True
    peer = add_peer("--minchansize=900000", "--maxpendingchannels=1")
    key, _, host = peer.p2p_address.partition("@")
    shop.node.connect(NodeAddress(key, host), timeout_seconds=15)
    return peer


def test_a_peer_that_refuses_says_so_before_the_buyer_pays_and_what_it_says_works(shop: Shop, wallet: Any) -> None:
    [warning] = shop.buy(node_uri=wallet.p2p_address)["warnings"]
    assert (warning["code"], warning["field"], warning["works"]) == ("CHAN_SIZE_TOO_SMALL", "local_balance", 900_000)
    assert not list(wallet.pending_channels().pending_open_channels)
    quote = shop.buy(node_uri=wallet.p2p_address, local_balance=900_000)
    assert quote["warnings"] == []  # it was asked for just this channel, and would take it
    assert [row.accepted for row in DryRun.objects.order_by("capacity_sat")] == [False, True]
    assert not shop.node.pending_channels() and not shop.node.leases()
    payment = shop.pay(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, wallet)
    assert len(shop.order(quote).openings.all()) == 1  # its one place was free at once


def test_a_real_attempt_ends_what_a_death_has_left_of_a_dry_run(shop: Shop, wallet: Any) -> None:
    key = wallet.p2p_address.partition("@")[0]
    chan_id, channel = secrets.token_bytes(32), {"capacity_sat": 950_000, "push_sat": 0}
    DryRun.objects.create(node_pubkey=key, announced=False, pending_chan_id=chan_id, begun_at=timezone.now(), **channel)
    negotiation = shop.node.open_channel(pubkey=key, pending_chan_id=chan_id, private=True, memo="", **channel)
    negotiation.funding_request(timeout_seconds=15)
    negotiation.close()
    quote = shop.buy(node_uri=wallet.p2p_address, local_balance=900_000)
    shop.pay(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote, wallet)
