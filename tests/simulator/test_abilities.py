"""What only the simulator can do: money in every shape, customers in every mood, calls that go wrong on purpose."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning.errors import NodeUnavailable, NotFound, OutcomeUnknown, PeerOffline, Rejected
from lightning.node import LndNode
from lightning.proto import invoicesrpc_pb2 as inv
from lightning.transactions import read_transaction
from lightning.types import Invoice, NodeInvoiceState
from simulator import control as faults
from simulator.chain import FLOOR_SAT_PER_KW
from simulator.channels import LOCAL_FORCE
from simulator.control import Control
from simulator.world import Beginning, World
from tests.contract.conftest import HOUR, Opening, Secret, credentials
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

CLTV_BLOCKS = 100


@pytest.fixture
def node(network: SimulatedNetwork) -> LndNode:
    return LndNode(credentials(network.lsp))  # type: ignore[arg-type]


@pytest.fixture
def control(network: SimulatedNetwork) -> Iterator[Control]:
    yield network.lsp.control
    network.lsp.control.end_faults()


@pytest.fixture
def secret() -> Secret:
    return Secret()


@pytest.fixture
def request_of(node: LndNode, secret: Secret) -> str:
    return add(node, secret)


def add(node: LndNode, secret: Secret, *, expiry_seconds: int = 600) -> str:
    return node.add_hold_invoice(
        payment_hash=secret.payment_hash,
        amount_sat=1_000,
        memo="order",
        expiry_seconds=expiry_seconds,
        cltv_blocks=CLTV_BLOCKS,
    ).payment_request


def found(node: LndNode, secret: Secret) -> tuple[NodeInvoiceState, int]:
    invoice: Invoice = node.invoice(secret.payment_hash)
    return invoice.state, invoice.held_msat


# Payments


def test_a_payment_in_parts_is_held_as_one(node, control, secret, request_of) -> None:
    payment = control.pay(request_of, parts=3)
    assert found(node, secret) == (NodeInvoiceState.ACCEPTED, 1_000_000)
    assert node.invoice(secret.payment_hash).nearest_expiry_height == node.info().block_height + CLTV_BLOCKS + 3
    node.settle_invoice(secret.preimage)
    assert control.payment(payment.id).state == SUCCEEDED
    assert control.payment(payment.id).preimage == secret.preimage.hex()


def test_parts_whose_rest_never_comes_are_returned_after_two_minutes(network, add_own) -> None:
    own = add_own()
    node, secret = LndNode(credentials(own)), Secret()
    payment = own.control.pay(add(node, secret), parts=4, missing_parts=1)
    assert found(node, secret) == (NodeInvoiceState.OPEN, 750_000)
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "still_open"
    own.control.pass_time(121)
    assert found(node, secret) == (NodeInvoiceState.OPEN, 0)
    assert own.control.payment(payment.id).state == FAILED


def test_more_than_asked_is_held_and_less_is_refused(node, control, secret, request_of) -> None:
    assert control.pay(request_of, amount_msat=999_999).state == FAILED
    assert found(node, secret) == (NodeInvoiceState.OPEN, 0)
    assert control.pay(request_of, amount_msat=1_500_000).state == IN_FLIGHT
    assert found(node, secret) == (NodeInvoiceState.ACCEPTED, 1_500_000)
    node.cancel_invoice(secret.payment_hash)


def test_an_invoice_is_paid_once(control, request_of) -> None:
    assert control.pay(request_of).state == IN_FLIGHT
    assert control.pay(request_of).state == FAILED


def test_the_clock_ends_what_is_open_and_leaves_what_is_held(add_own) -> None:
    own = add_own()
    node, unpaid, paid = LndNode(credentials(own)), Secret(), Secret()
    late, held = add(node, unpaid), add(node, paid)
    own.control.pay(held)
    own.control.pass_time(601)
    assert found(node, unpaid)[0] is NodeInvoiceState.CANCELED
    assert found(node, paid)[0] is NodeInvoiceState.ACCEPTED
    assert own.control.pay(late).state == FAILED


def test_the_node_gives_a_held_payment_back_18_blocks_before_its_end(add_own) -> None:
    own = add_own()
    node, secret = LndNode(credentials(own)), Secret()
    payment = own.control.pay(add(node, secret))
    own.control.mine(CLTV_BLOCKS + 3 - 18 - 1)
    assert found(node, secret)[0] is NodeInvoiceState.ACCEPTED
    own.control.mine(1)
    assert found(node, secret)[0] is NodeInvoiceState.CANCELED
    assert own.control.payment(payment.id).state == FAILED


# The chain


def test_a_replaced_deposit_leaves_the_wallet_when_the_other_is_mined(node, control) -> None:
    address = node.new_address()
    first = control.deposit((address, 40_000), replaceable=True)
    second = control.replace(first, (address, 30_000))
    assert {node.transaction(txid).confirmations for txid in (first, second)} == {0}
    assert first not in control.mempool()
    control.mine()
    assert node.transaction(second).confirmations == 1
    with pytest.raises(NotFound):
        node.transaction(first)


def test_a_deposit_that_is_final_cannot_be_replaced(node, control) -> None:
    txid = control.deposit((node.new_address(), 40_000))
    with pytest.raises(faults.Refused):
        control.replace(txid)


def test_a_deposit_lost_to_a_rival_that_does_not_pay_us_stays_unconfirmed_until_the_node_restarts(add_own) -> None:
    own = add_own()
    node = LndNode(credentials(own))
    txid = own.control.deposit((node.new_address(), 40_000))
    own.control.mine()
    own.control.reorganise(1, [own.control.rival_of(txid)])
    assert node.transaction(txid).confirmations == 0
    own.kill()
    own.start()
    with pytest.raises(NotFound):
        node.transaction(txid)


def test_the_wallet_believes_in_a_deposit_that_a_deeper_reorganisation_took(node, control) -> None:
    txid = control.deposit((node.new_address(), 40_000))
    control.mine(3)
    control.reorganise(3, [control.rival_of(txid)])
    found = node.transaction(txid)
    assert found.confirmations == 4
    assert found.block_hash != node.block_hash(found.block_height)


def test_a_risen_fee_floor_empties_the_mempool_and_a_restarted_wallet_forgets(add_own) -> None:
    own = add_own(funded_sat=1_000_000)
    node = LndNode(credentials(own))
    fund: dict[str, Any] = {"address": node.new_address(), "amount_sat": 50_000, "sat_per_kw": 500}
    funded = node.fund_psbt(**fund, min_confirmations=1, lock_id=b"\x01" * 32, lease_seconds=HOUR)
    raw = node.finalize_psbt(funded.psbt).raw
    node.publish(raw, label="refund:1")
    txid = read_transaction(raw).txid
    own.control.set_fees(minimum_sat_per_kw=5_000, evict=True)
    assert own.control.mempool() == []
    assert node.transaction(txid).confirmations == 0
    own.kill()
    own.start()
    with pytest.raises(NotFound):
        node.transaction(txid)
    with pytest.raises(Rejected) as caught:
        node.publish(raw, label="refund:1")
    assert caught.value.reason == "fee_too_low"


def close_put_out_at_a_start(home: Path) -> tuple[World, str]:
    """The mempool had no room for a close, nor when the node started again; then it had, and it started once more."""
    world = World(home, Beginning())
    point = world.open_directly("alice", capacity_sat=100_000, push_sat=0, by_us=True, private=False)
    world.mine(6)
    txid = world.close(point, LOCAL_FORCE)
    world.chain.evict(txid)
    for floor_sat_per_kw in (50_000, FLOOR_SAT_PER_KW):
        world.chain.floor_sat_per_kw = floor_sat_per_kw
        world.save(at_once=True)
        assert txid not in world.chain.mempool
        world = World(home, Beginning())
    return world, txid


def test_a_close_that_was_put_out_is_published_again_at_a_start(tmp_path) -> None:
    world, txid = close_put_out_at_a_start(tmp_path)
    world.mine()
    assert (world.chain.depth(txid), txid in world.wallet.mined) == (1, True)


def test_control_the_wallet_alone_has_forgotten_the_close(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(World, "_publish_closes_again", lambda self: None)
    world, txid = close_put_out_at_a_start(tmp_path)
    world.mine()
    assert (world.chain.depth(txid), txid in world.wallet.mined) == (0, False)


# Customers


def test_a_customer_that_vanishes_is_offline_and_nothing_is_left(network, node) -> None:
    opening = Opening(node, network.add_peer())
    opening.connected()
    opening.peer.change(vanishes="open")
    with opening.negotiate() as negotiation, pytest.raises(PeerOffline):
        negotiation.funding_request(timeout_seconds=5)
    assert opening.peer.pubkey not in {peer.pubkey for peer in node.peers()}


def test_a_customer_that_vanishes_after_the_psbt_leaves_no_channel(network, node) -> None:
    opening = Opening(node, network.add_peer(), memo="vanished")
    opening.connected()
    opening.peer.change(vanishes="verify")
    with opening.negotiate() as negotiation:
        asked = negotiation.funding_request(timeout_seconds=5)
        funded = opening.fund(asked.address, asked.amount_sat)
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        with pytest.raises(OutcomeUnknown):
            negotiation.pending_outpoint(timeout_seconds=5)
    assert "vanished" not in {channel.memo for channel in node.pending_channels()}
    opening.release(funded)


def test_a_slow_customer_makes_the_channel_pending_after_a_cancel_that_did_nothing(network, node) -> None:
    opening = Opening(node, network.add_peer(), memo="slow")
    opening.connected()
    opening.peer.change(withholds_signature=True)
    with opening.negotiate() as negotiation:
        asked = negotiation.funding_request(timeout_seconds=5)
        funded = opening.fund(asked.address, asked.amount_sat)
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        node.cancel_shim(opening.pending_chan_id)
        assert "slow" not in {channel.memo for channel in node.pending_channels()}
        opening.peer.change(withholds_signature=False)
        outpoint = negotiation.pending_outpoint(timeout_seconds=5)
    assert "slow" in {channel.memo for channel in node.pending_channels()}
    node.abandon_channel(outpoint)
    opening.release(funded)


def test_a_disconnect_takes_back_what_a_slow_customer_has_not_signed(network, node) -> None:
    opening = Opening(node, network.add_peer(), memo="cut off")
    opening.connected()
    opening.peer.change(withholds_signature=True)
    with opening.negotiate() as negotiation:
        asked = negotiation.funding_request(timeout_seconds=5)
        funded = opening.fund(asked.address, asked.amount_sat)
        node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        node.disconnect(opening.peer.pubkey)
        opening.peer.change(withholds_signature=False)
    assert "cut off" not in {channel.memo for channel in node.pending_channels()}
    opening.release(funded)


@pytest.mark.parametrize(
    ("close_type", "depth", "named"),
    [("REMOTE_FORCE_CLOSE", 3, "remote_force_close"), ("LOCAL_FORCE_CLOSE", 144, "local_force_close")],
)
def test_a_channel_can_end_by_force(network, node, control, close_type, depth, named) -> None:
    point = network.lsp.open_channel(network.add_peer(), 100_000, 10_000)
    control.close_channel(point, close_type)
    control.mine(1)
    assert point in {str(channel.outpoint) for channel in node.pending_channels()}
    control.mine(depth - 1)
    [closed] = [channel for channel in node.closed_channels() if str(channel.outpoint) == point]
    assert (closed.close_type, closed.initiated_by_us) == (named, named.startswith("local"))


# Calls that go wrong


def test_a_lost_reply_leaves_the_deed_done(node, control, secret, request_of) -> None:
    control.add_fault("CancelInvoice", faults.LOSE_REPLY)
    with pytest.raises(OutcomeUnknown):
        node.cancel_invoice(secret.payment_hash)
    assert found(node, secret)[0] is NodeInvoiceState.CANCELED


def test_a_lost_request_leaves_it_undone_and_sounds_the_same(node, control, secret, request_of) -> None:
    control.add_fault("CancelInvoice", faults.LOSE_REQUEST)
    with pytest.raises(OutcomeUnknown):
        node.cancel_invoice(secret.payment_hash)
    assert found(node, secret)[0] is NodeInvoiceState.OPEN
    node.cancel_invoice(secret.payment_hash)


def test_a_node_that_only_starts_refuses_everything_in_its_own_words(node, control) -> None:
    control.add_fault(faults.EVERY, faults.FAIL, text="wallet locked, unlock it to enable full RPC access", times=0)
    for call in (node.info, node.new_address):
        with pytest.raises(NodeUnavailable) as caught:
            call()
        assert caught.value.reason == "NODE_NOT_READY"
    control.end_faults()
    assert node.new_address()


@pytest.mark.parametrize(("kind", "state"), [(faults.PAUSE_BEFORE, "open"), (faults.PAUSE_AFTER, "canceled")])
def test_a_paused_call_waits_before_or_after_its_deed(node, control, secret, request_of, kind, state) -> None:
    control.add_fault("CancelInvoice", kind)
    caller = threading.Thread(target=node.cancel_invoice, args=[secret.payment_hash])
    caller.start()
    until(lambda: control.waiting() == ["CancelInvoice"], "the call is held")
    assert found(node, secret)[0] == state
    control.end_faults("CancelInvoice")
    caller.join(5)
    assert found(node, secret)[0] is NodeInvoiceState.CANCELED


def test_a_call_whose_caller_has_gone_is_done_all_the_same(node, control, secret, request_of) -> None:
    control.add_fault("CancelInvoice", faults.PAUSE_BEFORE)
    with pytest.raises(OutcomeUnknown):
        cancel_within(node, secret, seconds=0.2)
    control.end_faults("CancelInvoice")
    until(lambda: found(node, secret)[0] is NodeInvoiceState.CANCELED, "it is done")


def cancel_within(node: LndNode, secret: Secret, *, seconds: float) -> None:
    message = inv.CancelInvoiceMsg(payment_hash=bytes.fromhex(secret.payment_hash))
    node._change(node._invoices.CancelInvoice, message, seconds=seconds)


def test_a_node_behind_the_chain_opens_nothing(network, node, control) -> None:
    control.set_synced(False)
    assert not node.info().synced_to_chain
    opening = Opening(node, network.add_peer()).connected()
    with opening.negotiate() as negotiation, pytest.raises(NodeUnavailable):
        negotiation.funding_request(timeout_seconds=5)
    control.set_synced(True)


def test_keys_come_from_the_seed(tmp_path) -> None:
    def keys(name: str, seed: bytes) -> tuple[str, str]:
        (tmp_path / name).mkdir()
        world = World(tmp_path / name, Beginning(seed=seed))
        return world.customers.named("alice").pubkey, next(iter(world.wallet.names)).hex()

    assert keys("one", b"a") == keys("two", b"a") != keys("three", b"b")
    assert keys("four", os.urandom(4))


def test_a_world_with_much_in_it_is_not_written_anew_at_each_call_and_is_whole_in_the_end(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("simulator.world._MUCH_BYTES", 0)
    world = World(tmp_path, Beginning())
    state = tmp_path / "state"
    for name in ("erin", "frank"):
        world.customers.named(name)
        world.save()
    assert world.is_unsaved and b"frank" not in state.read_bytes()
    world.save(at_once=True)
    assert not world.is_unsaved and b"frank" in state.read_bytes()


def test_a_world_with_little_in_it_is_on_disk_after_each_call(tmp_path) -> None:
    world = World(tmp_path, Beginning())
    for name in ("erin", "frank"):
        world.customers.named(name)
        world.save()
        assert name.encode() in (tmp_path / "state").read_bytes()
