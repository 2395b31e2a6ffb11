"""Opening a channel, by our protocol and off its path."""

from __future__ import annotations

import os

import pytest

from lightning.errors import OutcomeUnknown, PeerOffline, Rejected
from lightning.mapping import channel_point_message
from lightning.node import LndNode
from lightning.proto import lnrpc_pb2 as ln
from lightning.transactions import psbt_input_values, read_psbt, read_transaction
from lightning.types import ClosedChannel, NodeAddress, Outpoint, PendingPhase
from tests.contract.conftest import CAPACITY_SAT, PUSH_SAT, Opening
from tests.regtest.network import Network
from tests.regtest.waiting import until
from tests.strangers import swallowing

NOBODY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


@pytest.mark.parametrize("private", [True, False], ids=["private", "public"])
def test_a_channel_is_opened_by_the_protocol(network, node, peer, private):
    opening = Opening(node, peer, memo=f"order-{private}", private=private)
    with opening.connected().negotiate() as negotiation:
        request = negotiation.funding_request(timeout_seconds=30)
        assert request.amount_sat == CAPACITY_SAT
        funded = opening.fund(request.address, request.amount_sat)
        unsigned = read_psbt(funded.psbt)
        assert [amount for _, amount in unsigned.outputs].count(CAPACITY_SAT) == 1
        assert psbt_input_values(funded.psbt) == sum(lease.amount_sat for lease in funded.leases)

        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        outpoint = negotiation.pending_outpoint(timeout_seconds=30)
    assert outpoint == Outpoint(unsigned.txid, 1 - funded.change_index)

    signed = read_transaction(node.finalize_psbt(funded.psbt).raw)
    assert (signed.txid, signed.every_input_has_witness) == (unsigned.txid, True)
    [pending] = [channel for channel in node.pending_channels() if channel.outpoint == outpoint]
    assert (pending.phase, pending.memo, pending.private) == (PendingPhase.OPENING, opening.memo, private)
    assert pending.remote_balance_sat == PUSH_SAT

    node.publish(node.finalize_psbt(funded.psbt).raw, label=f"funding:{opening.memo}")
    network.mine(6)
    until(lambda: any(channel.outpoint == outpoint and channel.active for channel in node.channels()), "it is active")
    [opened] = [channel for channel in node.channels() if channel.outpoint == outpoint]
    assert (opened.memo, opened.private, opened.peer_pubkey) == (opening.memo, private, peer.pubkey)
    assert (opened.capacity_sat, opened.push_sat, opened.initiated_by_us) == (CAPACITY_SAT, PUSH_SAT, True)
    assert opened.short_channel_id >> 40 == node.transaction(outpoint.txid).block_height


def test_an_id_in_use_is_refused_and_free_again_after_a_cancel(node, opening):
    with opening.connected().negotiate() as first:
        first.funding_request(timeout_seconds=30)
        with opening.negotiate() as second, pytest.raises(Rejected) as caught:
            second.funding_request(timeout_seconds=30)
        assert caught.value.reason == "FAILED_OPENING"
        node.cancel_shim(opening.pending_chan_id)
        with pytest.raises(Rejected) as caught:
            first._wait_for("chan_pending", 30)
        assert caught.value.reason == "FAILED_OPENING"
    with opening.negotiate() as third:
        assert third.funding_request(timeout_seconds=30).amount_sat == CAPACITY_SAT
    node.cancel_shim(opening.pending_chan_id)


def test_an_attempt_that_nobody_knows_is_cancelled_without_complaint(node):
    node.cancel_shim(os.urandom(32))


def test_verifying_for_a_dead_attempt_leaves_the_outcome_unknown(node, opening):
    with opening.connected().negotiate() as negotiation:
        request = negotiation.funding_request(timeout_seconds=30)
        funded = opening.fund(request.address, request.amount_sat)
    node.cancel_shim(opening.pending_chan_id)
    with pytest.raises(OutcomeUnknown) as caught:
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
    assert caught.value.reason == "unknown_flow"
    opening.release(funded)


def test_a_cancel_after_verifying_answers_well_and_does_nothing(node, opening, cancel):
    outpoint, funded = opening.pending()
    node.cancel_shim(opening.pending_chan_id)
    assert outpoint in {channel.outpoint for channel in node.pending_channels()}
    cancel(opening, outpoint)
    opening.release(funded)


def test_a_channel_is_abandoned_and_abandoned_again(node, opening):
    outpoint, funded = opening.pending()
    node.disconnect(opening.peer.pubkey)
    for _ in range(2):
        node.abandon_channel(outpoint)
    assert outpoint not in {channel.outpoint for channel in node.pending_channels()}
    [closed] = [channel for channel in node.closed_channels() if channel.outpoint == outpoint]
    assert closed.close_type == "abandoned"
    node.abandon_channel(Outpoint("ab" * 32, 0))
    opening.release(funded)


def test_the_flag_for_shim_funded_channels_does_not_help_against_one_that_a_psbt_funds(node, opening, cancel):
    """So only the other flag is any use, which asks no questions."""
    outpoint, funded = opening.pending()
    for flags in ({"pending_funding_shim_only": True}, {}):
        request = ln.AbandonChannelRequest(channel_point=channel_point_message(outpoint), **flags)
        with pytest.raises(OutcomeUnknown, match="not externally funded or not pending|only available in dev builds"):
            node._change(node._lightning.AbandonChannel, request)
    assert outpoint in {channel.outpoint for channel in node.pending_channels()}
    cancel(opening, outpoint)
    opening.release(funded)


def test_verifying_twice_or_the_wrong_transaction_leaves_the_outcome_unknown(node, opening, cancel):
    with opening.connected().negotiate() as negotiation:
        request = negotiation.funding_request(timeout_seconds=30)
        elsewhere = opening.fund(node.new_address(), request.amount_sat)
        for wrong in (elsewhere.psbt, b"psbt"):
            with pytest.raises(OutcomeUnknown):
                node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=wrong)
        funded = opening.fund(request.address, request.amount_sat)
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        outpoint = negotiation.pending_outpoint(timeout_seconds=30)
    with pytest.raises(OutcomeUnknown):
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
    assert outpoint in {channel.outpoint for channel in node.pending_channels()}
    cancel(opening, outpoint)
    opening.release(elsewhere)
    opening.release(funded)


def test_after_a_disconnect_the_peer_can_be_connected_at_once(node, passing_peer):
    opening = Opening(node, passing_peer)
    for _ in range(3):
        opening.connected()
        node.disconnect(opening.peer.pubkey)
        assert opening.peer.pubkey not in {peer.pubkey for peer in node.peers()}
    opening.connected()
    assert opening.peer.pubkey in {peer.pubkey for peer in node.peers()}


def test_a_peer_that_is_not_connected_is_disconnected_without_complaint(node):
    node.disconnect(NOBODY)


# Who cannot be reached


@pytest.mark.parametrize("address", [NOBODY, f"{NOBODY}@127.0.0.1:1", f"{NOBODY}@nobody.invalid:9735"])
def test_who_cannot_be_reached_is_offline(node, address):
    with pytest.raises(PeerOffline) as caught:
        node.connect(NodeAddress.parse(address), timeout_seconds=2)
    assert caught.value.reason == "PEER_NOT_REACHABLE"


def test_another_key_at_a_known_address_is_offline(node, peer):
    with pytest.raises(PeerOffline):
        node.connect(NodeAddress(NOBODY, peer.p2p_host), timeout_seconds=5)


def test_who_is_connected_already_needs_no_address(node, peer):
    node.connect(NodeAddress.parse(peer.p2p_address), timeout_seconds=10)
    node.connect(NodeAddress(peer.pubkey), timeout_seconds=10)
    node.connect(NodeAddress.parse(peer.p2p_address), timeout_seconds=10)


def test_who_was_just_listed_is_not_listed_again_where_that_is_believed(node, peer, monkeypatch):
    node.connect(NodeAddress.parse(peer.p2p_address), timeout_seconds=10)
    node.peers()

    def listed(pubkey: str) -> None:
        raise RuntimeError(f"{pubkey} was listed")

    monkeypatch.setattr(node, "_connection", listed)
    node.connect(NodeAddress(peer.pubkey), timeout_seconds=1, believed_seconds=60)
    with pytest.raises(RuntimeError):
        node.connect(NodeAddress(peer.pubkey), timeout_seconds=1)


def test_a_connection_that_came_meanwhile_is_as_good(node, peer):
    address = NodeAddress.parse(peer.p2p_address)
    node.connect(address, timeout_seconds=10)
    node._dial(address, 10)  # as after a look that saw no connection yet
    assert peer.pubkey in {each.pubkey for each in node.peers()}


def test_a_dial_that_nobody_waits_for_brings_the_peer(node, passing_peer):
    node.begin_dialling(NodeAddress.parse(passing_peer.p2p_address), timeout_seconds=10).result(20)
    until(lambda: passing_peer.pubkey in {each.pubkey for each in node.peers()}, "the peer is there")
    with pytest.raises(Rejected) as caught:
        node.begin_dialling(NodeAddress(passing_peer.pubkey, "127.0.0.1:1"), timeout_seconds=10).result(20)
    assert caught.value.reason == "already_connected"


def test_a_dial_that_nobody_waits_for_hears_nothing_of_a_host_that_swallows_packets(node):
    with swallowing() as host:
        dial = node.begin_dialling(NodeAddress(NOBODY, host), timeout_seconds=2)
        assert not dial.done()
        with pytest.raises(OutcomeUnknown):
            dial.result(20)


def test_our_own_key_is_refused(node, lsp):
    with pytest.raises(Rejected):
        node.connect(NodeAddress.parse(lsp.p2p_address), timeout_seconds=5)


def test_a_peer_that_went_away_is_offline(node, passing_peer):
    opening = Opening(node, passing_peer)
    opening.connected()
    opening.peer.kill()
    until(lambda: opening.peer.pubkey not in {peer.pubkey for peer in node.peers()}, "the peer is gone")
    with opening.negotiate() as negotiation, pytest.raises(PeerOffline):
        negotiation.funding_request(timeout_seconds=30)


def test_a_peer_that_does_not_answer_leaves_the_outcome_unknown(node, passing_peer):
    opening = Opening(node, passing_peer)
    opening.connected()
    opening.peer.pause()
    with opening.negotiate() as negotiation, pytest.raises(OutcomeUnknown):
        negotiation.funding_request(timeout_seconds=1)
    node.cancel_shim(opening.pending_chan_id)
    opening.peer.resume()


def test_who_waits_for_a_peer_can_be_told_to_wait_no_longer(node, passing_peer):
    """As if the time had run out, at either wait."""
    opening = Opening(node, passing_peer)
    opening.connected()
    opening.peer.pause()
    with opening.negotiate() as negotiation:
        for wait in (negotiation.funding_request, negotiation.pending_outpoint):
            negotiation.give_up()
            with pytest.raises(OutcomeUnknown) as caught:
                wait(timeout_seconds=60)
            assert caught.value.reason == "PEER_NOT_REACHABLE"
    node.cancel_shim(opening.pending_chan_id)
    opening.peer.resume()


def test_a_peer_that_goes_after_it_agreed_is_offline_and_leaves_nothing(node, passing_peer):
    opening = Opening(node, passing_peer)
    with opening.connected().negotiate() as negotiation:
        negotiation.funding_request(timeout_seconds=30)
        opening.peer.kill()
        with pytest.raises(PeerOffline) as caught:
            negotiation.funding_request(timeout_seconds=30)
        assert caught.value.reason == "PEER_NOT_REACHABLE"
        with pytest.raises(OutcomeUnknown):
            negotiation.pending_outpoint(timeout_seconds=30)
    node.cancel_shim(opening.pending_chan_id)
    assert opening.peer.pubkey not in {channel.peer_pubkey for channel in node.pending_channels()}


# What is refused


def refusal(opening: Opening) -> str:
    with opening.connected().negotiate() as negotiation, pytest.raises(Rejected) as caught:
        negotiation.funding_request(timeout_seconds=30)
    return caught.value.reason


def test_a_peer_refuses_a_small_channel(node, add_peer):
    assert refusal(Opening(node, add_peer("--minchansize=500000"))) == "CHAN_SIZE_TOO_SMALL"


def test_a_peer_refuses_a_big_channel(node, add_peer):
    assert refusal(Opening(node, add_peer("--maxchansize=300000"))) == "CHAN_SIZE_TOO_BIG"


def test_a_peer_refuses_pushed_money(node, add_peer):
    assert refusal(Opening(node, add_peer("--rejectpush"))) == "PEER_POLICY"


def test_a_peer_refuses_in_its_own_words(node, opening):
    """Which mean nothing of our node, whatever they sound like."""
    for words, reason in (
        ("unable to locate invoice", "CHANNEL_REJECTED"),
        ("too many pending channels", "PEER_TOO_MANY_PENDING_CHANNELS"),
        ("Refusing more than 4 unfunded channels.", "PEER_TOO_MANY_PENDING_CHANNELS"),
        ("rate limit reached", "PEER_TOO_MANY_PENDING_CHANNELS"),
        ("feerate_per_kw 253 below minimum 2500", "FEE_RATE_REJECTED"),
        ("funding failed due to internal error", "FAILED_OPENING"),
        ("only private channels, please", "ANNOUNCEMENT_REJECTED"),
        ("we only accept channels from friends", "PEER_POLICY"),
        ("only one channel for each of you", "PEER_REJECT_MULTI_CHAN"),
        ("unsupported channel type", "FEATURE_MISSING"),
    ):
        with opening.peer.refusing_channels(words):
            assert refusal(opening) == reason


def test_a_peer_that_is_behind_counts_as_offline(node, opening):
    with opening.peer.refusing_channels("Synchronizing blockchain"):
        with opening.connected().negotiate() as negotiation, pytest.raises(PeerOffline):
            negotiation.funding_request(timeout_seconds=30)


def test_a_peer_refuses_one_more_pending_channel(node, add_peer, cancel):
    opening = Opening(node, add_peer("--maxpendingchannels=1"))
    outpoint, funded = opening.pending()
    assert refusal(Opening(node, opening.peer)) == "PEER_TOO_MANY_PENDING_CHANNELS"
    cancel(opening, outpoint)
    opening.release(funded)


def test_what_no_channel_can_be_is_refused(node, peer):
    assert refusal(Opening(node, peer, capacity_sat=19_999)) == "CHAN_SIZE_TOO_SMALL"
    assert refusal(Opening(node, peer, capacity_sat=10**9 + 1)) == "CHAN_SIZE_TOO_BIG"  # our node leaves it to the peer
    assert refusal(Opening(node, peer, push_sat=CAPACITY_SAT)) == "FAILED_OPENING"


def test_our_node_opens_no_channel_to_itself(node, lsp):
    with Opening(node, lsp).negotiate() as negotiation, pytest.raises(Rejected) as caught:
        negotiation.funding_request(timeout_seconds=30)
    assert caught.value.reason == "CHANNEL_REJECTED"


def test_too_long_a_memo_leaves_the_outcome_unknown_and_opens_nothing(node, opening):
    opening.memo = "x" * 501
    with opening.connected().negotiate() as negotiation, pytest.raises(OutcomeUnknown):
        negotiation.funding_request(timeout_seconds=30)
    node.cancel_shim(opening.pending_chan_id)


# The end of a channel


def test_a_channel_that_its_peer_closes_waits_for_its_blocks_and_is_over(network, node, lsp, peer):
    point = Outpoint.parse(lsp.open_channel(peer, 200_000, 50_000))
    closing_txid = peer.close_channel(str(point))
    until(lambda: phase_of(node, point) is PendingPhase.WAITING_CLOSE, "we know of the close")
    [waiting] = [channel for channel in node.pending_channels() if channel.outpoint == point]
    assert waiting.closing_txid == closing_txid
    assert point not in {channel.outpoint for channel in node.channels()}
    closed = closed_after(network, node, point)
    assert (closed.close_type, closed.initiated_by_us) == ("cooperative_close", False)
    assert (closed.closing_txid, closed.peer_pubkey) == (closing_txid, peer.pubkey)
    assert closed.close_height >= closed.short_channel_id >> 40


def test_a_channel_that_its_peer_closes_by_force_is_over_once_our_money_is_back(network, node, lsp, peer):
    point = Outpoint.parse(lsp.open_channel(peer, 200_000, 50_000))
    closing_txid = peer.close_channel(str(point), force=True)
    closed = closed_after(network, node, point)
    assert (closed.close_type, closed.initiated_by_us) == ("remote_force_close", False)
    assert closed.closing_txid == closing_txid


def phase_of(node: LndNode, point: Outpoint) -> PendingPhase | None:
    return next((channel.phase for channel in node.pending_channels() if channel.outpoint == point), None)


def closed_after(network: Network, node: LndNode, point: Outpoint) -> ClosedChannel:
    """Blocks come until it is over."""

    def over() -> list[ClosedChannel]:
        found = [channel for channel in node.closed_channels() if channel.outpoint == point]
        if not found:
            network.mine(1)
        return found

    [closed] = until(over, "the channel is over", pause=0.3)
    return closed
