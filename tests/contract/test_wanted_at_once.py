"""Channels that are usable before their funding is in a block, before anybody has it even."""

from __future__ import annotations

import pytest

from lightning.errors import Rejected
from lightning.node import LndNode
from lightning.types import Channel, NodeAddress, Outpoint, takes_zero_conf
from tests.contract.conftest import PUSH_SAT, Opening
from tests.regtest.waiting import until


def the_channel(node: LndNode, outpoint: Outpoint) -> Channel:
    """LND has it among the pending for a moment."""
    until(lambda: [channel for channel in node.channels() if channel.outpoint == outpoint], "it is listed")
    [found] = [channel for channel in node.channels() if channel.outpoint == outpoint]
    return found


@pytest.mark.parametrize("private", [True, False], ids=["private", "public"])
def test_a_zero_conf_channel_is_usable_before_anything_is_published(network, node, passing_peer, private):
    opening = Opening(node, passing_peer, memo=f"at once {private}", private=private, zero_conf=True)
    with passing_peer.accepting_zero_conf():
        outpoint, funded = opening.pending()
        until(lambda: the_channel(node, outpoint).active, "it is usable")
    assert outpoint not in {pending.outpoint for pending in node.pending_channels()}
    assert outpoint.txid not in network.chain.mempool()
    channel = the_channel(node, outpoint)
    assert (channel.zero_conf, channel.short_channel_id, channel.private) == (True, 0, private)
    assert (channel.memo, channel.remote_balance_sat, channel.alias >> 40 >= 16_000_000) == (
        opening.memo,
        PUSH_SAT,
        True,
    )
    assert takes_zero_conf(node.info().features)
    assert [takes_zero_conf(peer.features) for peer in node.peers() if peer.pubkey == passing_peer.pubkey] == [True]

    node.publish(node.finalize_psbt(funded.psbt).raw, label=f"funding:{opening.memo}")
    network.mine(6)
    until(lambda: the_channel(node, outpoint).short_channel_id, "its place in the chain is told")
    named = the_channel(node, outpoint)
    assert named.short_channel_id >> 40 == node.transaction(outpoint.txid).block_height
    assert named.alias == channel.alias


def test_who_was_not_told_to_take_a_zero_conf_channel_refuses_it(node, opening):
    opening.zero_conf = True
    with opening.connected().negotiate() as negotiation, pytest.raises(Rejected) as caught:
        negotiation.funding_request(timeout_seconds=30)
    assert caught.value.reason == "CHANNEL_REJECTED"


def test_a_disconnect_ends_a_zero_conf_channel_that_its_peer_has_not_signed(node, passing_peer):
    """What is not there after it never will be: the peer awake again completes nothing."""
    opening = Opening(node, passing_peer, memo="asleep", zero_conf=True)
    with passing_peer.accepting_zero_conf():
        with opening.connected().negotiate() as negotiation:
            request = negotiation.funding_request(timeout_seconds=30)
            funded = opening.fund(request.address, request.amount_sat)
            passing_peer.pause()
            node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        node.cancel_shim(opening.pending_chan_id)
        node.disconnect(passing_peer.pubkey)
        passing_peer.resume()
        node.connect(NodeAddress.parse(passing_peer.p2p_address), timeout_seconds=20)
        assert not [channel for channel in node.channels() if channel.memo == "asleep"]
    opening.release(funded)
