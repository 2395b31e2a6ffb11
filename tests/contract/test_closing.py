"""Closing a channel of ours, and what our node asks for forwarding over it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from lightning.errors import LightningError, NodeUnavailable, NotFound, OutcomeUnknown, PeerOffline, Rejected
from lightning.types import Outpoint, PendingPhase, RoutingFee
from tests.contract.conftest import Opening
from tests.regtest.waiting import until

TARGET = 6


@pytest.fixture
def opened(network, node, passing_peer):
    """A channel that is active, and whom it is with."""
    attempt = Opening(node, passing_peer)
    outpoint, funded = attempt.pending()
    node.publish(node.finalize_psbt(funded.psbt).raw, label="funding:closing")
    network.mine(6)
    until(lambda: any(c.outpoint == outpoint and c.active for c in node.channels()), "it is active")
    return outpoint, passing_peer


def pending_of(node, outpoint):
    return next((each for each in node.pending_channels() if each.outpoint == outpoint), None)


def closed_of(node, outpoint):
    return next((each for each in node.closed_channels() if each.outpoint == outpoint), None)


def test_a_channel_is_closed_together_and_both_sides_say_who_asked(network, node, opened):
    outpoint, _ = opened
    txid = node.close_channel(outpoint, force=False, conf_target=TARGET)
    until(lambda: pending_of(node, outpoint) is not None, "it is closing")
    closing = pending_of(node, outpoint)
    assert (closing.phase, closing.closing_txid) == (PendingPhase.WAITING_CLOSE, txid)
    with pytest.raises(LightningError) as again:  # whatever it says, one transaction spends the funding
        node.close_channel(outpoint, force=False, conf_target=TARGET)
    assert not isinstance(again.value, NotFound)
    network.mine(8)
    until(lambda: network.mine(1) or closed_of(node, outpoint) is not None, "it is closed")
    closed = closed_of(node, outpoint)
    assert (closed.closing_txid, closed.close_type, closed.initiated_by_us) == (txid, "cooperative_close", True)
    with pytest.raises(NotFound) as unknown:
        node.close_channel(outpoint, force=False, conf_target=TARGET)
    assert unknown.value.reason == "unknown_channel"


def test_a_forced_close_needs_no_peer_and_one_together_does(network, node, opened):
    outpoint, peer = opened
    peer.kill()
    until(lambda: not any(c.outpoint == outpoint and c.active for c in node.channels()), "the peer is gone")
    with pytest.raises(PeerOffline):
        node.close_channel(outpoint, force=False, conf_target=TARGET)
    assert pending_of(node, outpoint) is None
    txid = node.close_channel(outpoint, force=True, conf_target=TARGET)
    until(lambda: pending_of(node, outpoint) is not None, "it is closing")
    assert pending_of(node, outpoint).closing_txid == txid
    with pytest.raises((Rejected, OutcomeUnknown)):
        node.close_channel(outpoint, force=True, conf_target=TARGET)

    def is_mined():
        network.mine(1)
        return pending_of(node, outpoint).phase is PendingPhase.FORCE_CLOSING

    until(is_mined, "the commitment is mined", pause=0.5)


def test_a_channel_that_is_not_there_is_not_closed(node):
    for force in (False, True):
        with pytest.raises(NotFound) as caught:
            node.close_channel(Outpoint("ab" * 32, 1), force=force, conf_target=TARGET)
        assert caught.value.reason == "unknown_channel"


def test_what_is_asked_for_forwarding_is_read_and_set_and_its_other_limits_stay(node, opened):
    outpoint, _ = opened
    pubkey = node.info().pubkey

    def asked():
        with suppress(NodeUnavailable):  # lnd tells of none while one has no policy yet
            return next((fee for fee in node.routing_fees() if fee.outpoint == outpoint), None)
        return None

    until(lambda: asked() == RoutingFee(outpoint, 1_000, 1), "what is asked at first")
    cltv_blocks = node.cltv_blocks(outpoint, pubkey=pubkey)
    assert cltv_blocks == 80

    def is_set():
        with suppress(Rejected):  # lnd takes no policy of a channel that became active this moment
            node.set_routing_fee(RoutingFee(outpoint, 0, 250), cltv_blocks=cltv_blocks)
        return asked() == RoutingFee(outpoint, 0, 250)

    until(is_set, "it is asked for")
    assert node.cltv_blocks(outpoint, pubkey=pubkey) == cltv_blocks


def test_of_a_channel_that_is_not_there_nothing_is_asked(node):
    nowhere = Outpoint("ab" * 32, 1)
    with pytest.raises(NotFound):
        node.cltv_blocks(nowhere, pubkey=node.info().pubkey)
    with pytest.raises(Rejected):
        node.set_routing_fee(RoutingFee(nowhere, 0, 0), cltv_blocks=80)
