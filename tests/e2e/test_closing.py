"""We close what was sold, promise it for longer, and ask no more over it than was promised: by both nodes' word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import actors
from orders.causes import Cause
from orders.errors import NotPossible
from orders.models import ChannelClosing, ChannelOrder, Service
from orders.operations import closing, expiring, fee_keeping, leasing
from tests.e2e.shop import Shop
from tests.e2e.test_closes import DELAY, closing_facts, flags, point_of, proposals, until_closed
from tests.regtest.waiting import until

ADA = actors.staff("ada")


@pytest.fixture
def peer(shop: Shop, add_peer: Any) -> Any:
    return add_peer()


def sold_to(shop: Shop, peer: Any, **body: Any) -> dict[str, Any]:
    quote = shop.buy(local_balance=500_000, node_uri=peer.p2p_address, **body)
    shop.pay(quote)
    shop.run(quote, "open", mine=True)
    shop.network.mine(6)
    until(lambda: shop.hurry(quote) or shop.turn() or not shop.order(quote).live_opening, "the funding is deep")
    return quote


def asks_for(shop: Shop, point: str) -> bool:
    """The node says what it asks for forwarding over the channel: LND says it of none while one has no policy yet."""
    try:
        return any(str(fee.outpoint) == point for fee in shop.node.routing_fees())
    except NodeUnavailable:
        return False


def lease_is_over(quote: dict[str, Any]) -> None:
    """Weeks have passed."""
    rows = ChannelOrder.objects.filter(pk=quote["order_id"])
    rows.update(lease_ends_height=1, lease_ends_at=timezone.now() - timedelta(days=1))


def test_a_channel_whose_lease_is_over_is_closed_with_its_peer_and_both_call_it_so(shop: Shop, peer: Any) -> None:
    quote = sold_to(shop, peer)
    with pytest.raises(NotPossible, match="promised until"):
        closing.close(shop.order(quote).pk, reason="Too early.", actor=ADA)
    Service.objects.update(after_lease="close")
    lease_is_over(quote)
    assert [each.why_not for each in expiring.close_expired(actor=actors.LSP)] == [""]
    shop.run(quote, "closing")
    row = ChannelClosing.objects.get()
    assert row.state == "under_way" and row.txid in shop.network.chain.mempool()
    until_closed(shop, quote)
    row.refresh_from_db()
    point = point_of(shop, quote)
    assert shop.network.lsp.closed_channel(point) == ("cooperative_close", row.txid)
    until(lambda: peer.closed_channel(point) is not None, "the peer knows it too")
    assert peer.closed_channel(point) == ("cooperative_close", row.txid)
    assert (row.state, row.tries, closing_facts(shop, quote)) == ("done", 1, ("cooperative_close", True))
    assert not proposals(quote) and not flags(shop, quote)  # though it is closed days after it was sold
    assert shop.seen(quote)["channel_close_tx"]["transaction_id"] == row.txid
    shop.assert_journal_whole(quote)


def test_while_its_peer_is_away_it_waits_and_is_closed_by_force_only_when_a_person_says_so(
    shop: Shop, peer: Any
) -> None:
    quote = sold_to(shop, peer)
    lease_is_over(quote)
    peer.kill()
    until(lambda: not shop.channel_at(shop.network.lsp, quote).active, "the peer is gone")
    closing.close(shop.order(quote).pk, reason="Its lease is over.", actor=ADA)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    [row] = ChannelClosing.objects.all()
    assert (row.state, row.trouble, row.may_have_begun) == ("waiting", "PEER_NOT_REACHABLE", False)
    assert shop.order(quote).state == "open" and row.tries >= 3
    closing.force(shop.order(quote).pk, reason="He never comes.", actor=ADA)
    shop.run(quote, "closing")
    shop.network.mine(DELAY)
    until_closed(shop, quote)
    txid = ChannelClosing.objects.get(kind="forced").txid
    point = point_of(shop, quote)
    assert shop.network.lsp.closed_channel(point) == ("local_force_close", txid)
    assert closing_facts(shop, quote) == ("local_force_close", True)
    peer.start()
    until(lambda: peer.closed_channel(point) is not None, "the peer has read the chain", timeout=90)
    assert peer.closed_channel(point) == ("remote_force_close", txid)
    assert not proposals(quote)


def test_a_peer_that_comes_back_lets_what_waits_be_closed(shop: Shop, peer: Any) -> None:
    quote = sold_to(shop, peer)
    lease_is_over(quote)
    peer.kill()
    until(lambda: not shop.channel_at(shop.network.lsp, quote).active, "the peer is gone")
    closing.close(shop.order(quote).pk, reason="Its lease is over.", actor=ADA)
    shop.turn()
    peer.start()
    until(lambda: shop.channel_at(shop.network.lsp, quote).active, "the peer is back", timeout=90)
    shop.hurry(quote)
    shop.run(quote, "closing")
    until_closed(shop, quote)
    assert closing_facts(shop, quote) == ("cooperative_close", True)


def test_a_lease_that_was_overridden_is_a_case_for_what_was_paid(shop: Shop, peer: Any) -> None:
    quote = sold_to(shop, peer)
    closing.override(shop.order(quote).pk, kind="together", reason="A court asks for it.", actor=ADA)
    shop.run(quote, "closing")
    until_closed(shop, quote)
    assert proposals(quote) == [("proposed", "closed_early", shop.order(quote).fee_total_sat)]
    facts = shop.order(quote).events.get(cause=Cause.CLOSE_WANTED)
    assert (facts.actor, facts.facts["reason"]) == ("staff:ada", "A court asks for it.")


def test_a_lease_that_was_extended_is_kept_and_the_buyer_reads_until_when(shop: Shop, peer: Any) -> None:
    quote = sold_to(shop, peer)
    Service.objects.update(after_lease="close")
    before = shop.seen(quote)["channel_expiry_ts"]
    leasing.extend(shop.order(quote).pk, days=14, reason="We were down.", actor=ADA)
    assert shop.seen(quote)["channel_expiry_ts"] - before == 14 * 24 * 3600 * 1000
    assert expiring.close_expired(actor=actors.LSP) == []
    shop.hurry(quote)
    shop.turn()
    ours, theirs = shop.channel_at(shop.network.lsp, quote), shop.channel_at(peer, quote)
    assert ours.active and theirs.active
    shop.assert_delivered(quote, peer)


def test_a_fee_that_was_raised_by_hand_is_put_back_and_the_peer_hears_of_it(shop: Shop, peer: Any) -> None:
    Service.objects.update(most_routing_base_msat=1_000, most_routing_ppm=200)
    quote = sold_to(shop, peer)
    lsp, point = shop.network.lsp, point_of(shop, quote)
    pubkey = shop.node.info().pubkey
    until(lambda: asks_for(shop, point), "the node has a policy")
    until(lambda: peer.policy_of(point, pubkey) == lsp.policy_of(point, pubkey), "the peer has heard of it")
    fee_keeping.keep(shop.node)
    assert Cause.ROUTING_FEE_PUT_BACK not in shop.journal(quote)
    lsp.set_policy(point, base_msat=5_000, ppm=900)
    until(lambda: peer.policy_of(point, pubkey) == (5_000, 900, 90), "the peer hears of what was raised")
    assert fee_keeping.keep(shop.node) == 1
    until(lambda: lsp.policy_of(point, pubkey) == (1_000, 200, 90), "it is put back, and the rest of it stays")
    until(lambda: peer.policy_of(point, pubkey) == (1_000, 200, 90), "the peer hears of that too")
    assert fee_keeping.keep(shop.node) == 0
    event = shop.order(quote).events.get(cause=Cause.ROUTING_FEE_PUT_BACK)
    assert (event.facts["asked_base_msat"], event.facts["asked_ppm"]) == (5_000, 900)
