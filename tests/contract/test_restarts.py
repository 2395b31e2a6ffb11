"""What a node still knows after it was killed and started again, and what it has forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lightning.errors import NotFound, OutcomeUnknown
from lightning.node import LndNode
from lightning.streams import LndStreams
from lightning.transactions import read_transaction
from lightning.types import NodeInvoiceState, PendingPhase
from tests.contract.conftest import HOUR, Opening, Secret, credentials
from tests.regtest.waiting import until

CAPACITY_SAT = 100_000


@pytest.fixture
def own(add_node) -> Any:
    """A node that may be killed; it has one coin."""
    return add_node(funded_sat=1_000_000)


def restarted(own: Any) -> LndNode:
    own.kill()
    own.start()
    return LndNode(credentials(own))


def begun(own: Any, peer: Any) -> Opening:
    return Opening(LndNode(credentials(own)), peer, memo="order 7", capacity_sat=CAPACITY_SAT)


@pytest.fixture
def peer_of_own(own, peer) -> Any:
    """Somebody whom `own` can reach."""
    return own.add_peer() if hasattr(own, "add_peer") else peer


def test_a_pending_channel_its_memo_and_its_lease_outlive_the_node(own, peer_of_own, network):
    opening = begun(own, peer_of_own)
    outpoint, funded = opening.pending()
    node = restarted(own)
    [pending] = node.pending_channels()
    assert (pending.outpoint, pending.phase, pending.memo) == (outpoint, PendingPhase.OPENING, "order 7")
    [lease] = node.leases()
    assert (lease.outpoint, lease.lock_id) == (funded.leases[0].outpoint, opening.lock_id)

    node.publish(node.finalize_psbt(funded.psbt).raw, label="funding:7")
    network.mine(3)
    until(lambda: [each.outpoint for each in node.channels()] == [outpoint], "it is open")
    assert node.channels()[0].memo == "order 7"
    assert node.transaction(outpoint.txid).label == "funding:7"


def test_a_public_channel_that_breaks_the_reserve_is_refused_and_pending_all_the_same(own, peer_of_own):
    opening = begun(own, peer_of_own)
    opening.private, opening.capacity_sat = False, 995_000
    with opening.connected().negotiate() as negotiation:
        request = negotiation.funding_request(timeout_seconds=30)
        funded = opening.fund(request.address, request.amount_sat)
        with pytest.raises(OutcomeUnknown) as caught:
            opening.node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
        assert caught.value.reason == "INSUFFICIENT_FUNDS"
        outpoint = negotiation.pending_outpoint(timeout_seconds=30)
    assert [channel.outpoint for channel in opening.node.pending_channels()] == [outpoint]


def test_an_attempt_that_was_not_verified_is_forgotten_and_its_lease_is_not(own, peer_of_own):
    opening = begun(own, peer_of_own)
    with opening.connected().negotiate() as negotiation:
        request = negotiation.funding_request(timeout_seconds=30)
        funded = opening.fund(request.address, request.amount_sat)
        opening.node = restarted(own)
    with pytest.raises(OutcomeUnknown) as caught:
        opening.node.verify_psbt(pending_chan_id=opening.pending_chan_id, psbt=funded.psbt)
    assert caught.value.reason == "unknown_flow"
    assert opening.node.pending_channels() == ()
    assert [lease.lock_id for lease in opening.node.leases()] == [opening.lock_id]
    opening.release(funded)
    assert opening.node.leases() == ()


def test_a_held_payment_is_still_held(network, lsp, node, secret: Secret):
    opened = node.add_hold_invoice(
        payment_hash=secret.payment_hash, amount_sat=2_000, memo="order", expiry_seconds=HOUR, cltv_blocks=144
    )
    network.buyer.pay(opened.payment_request)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED, "the payment is held")
    again = restarted(lsp)
    held = again.invoice(secret.payment_hash)
    assert (held.state, held.held_msat) == (NodeInvoiceState.ACCEPTED, 2_000_000)
    assert held in again.pending_invoices(after_add_index=opened.add_index - 1)
    until(lambda: any(each.active for each in again.channels()), "the buyer is back")
    again.settle_invoice(secret.preimage)
    assert again.invoice(secret.payment_hash).state is NodeInvoiceState.SETTLED


def test_a_published_transaction_and_its_label_are_remembered(own):
    node = LndNode(credentials(own))
    funded = node.fund_psbt(
        address=node.new_address(),
        amount_sat=50_000,
        sat_per_kw=1000,
        min_confirmations=1,
        lock_id=b"\x07" * 32,
        lease_seconds=HOUR,
    )
    raw = node.finalize_psbt(funded.psbt).raw
    txid = read_transaction(raw).txid
    with pytest.raises(NotFound):
        node.transaction(txid)
    node.publish(raw, label="refund:7")
    again = restarted(own)
    assert (again.transaction(txid).label, again.transaction(txid).confirmations) == ("refund:7", 0)
    assert read_transaction(again.finalize_psbt(funded.psbt).raw).txid == txid


def test_what_happened_to_channels_meanwhile_is_not_told(own, peer_of_own):
    """So whoever subscribes has to look as well."""
    outpoint, _ = begun(own, peer_of_own).pending()

    async def first_words() -> list[Any]:
        streams = LndStreams(credentials(own))
        heard: list[Any] = []

        async def listen() -> None:
            async for event in streams.channel_events():
                heard.append(event)

        task = asyncio.create_task(listen())
        await asyncio.sleep(1)  # ample: what a backlog would say comes at once
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await streams.close()
        return heard

    assert outpoint not in {event.outpoint for event in asyncio.run(first_words())}
