"""Hold invoices: each may be repeated, and whoever comes second hears what the first did."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lightning.errors import NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Invoice, NodeInvoiceState, OpenedInvoice
from tests.contract.conftest import Secret
from tests.regtest.network import Network
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until

AMOUNT_SAT = 2_000
CLTV_BLOCKS = 144


def add(node: LndNode, secret: Secret, **changed: Any) -> OpenedInvoice:
    values: dict[str, Any] = {
        "amount_sat": AMOUNT_SAT,
        "memo": "order",
        "expiry_seconds": 600,
        "cltv_blocks": CLTV_BLOCKS,
    }
    return node.add_hold_invoice(payment_hash=secret.payment_hash, **(values | changed))


def accepted(network: Network, node: LndNode, secret: Secret) -> Invoice:
    """The buyer has paid, and we hold it."""
    opened = add(node, secret)
    network.buyer.pay(opened.payment_request)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED, "the payment is held")
    return node.invoice(secret.payment_hash)


def test_an_invoice_is_found_as_it_was_added(node, secret):
    opened = add(node, secret)
    found = node.invoice(secret.payment_hash)
    assert (found.payment_hash, found.payment_request) == (secret.payment_hash, opened.payment_request)
    assert (found.memo, found.value_sat, found.add_index) == ("order", AMOUNT_SAT, opened.add_index)
    assert (found.state, found.held_msat, found.nearest_expiry_height) == (NodeInvoiceState.OPEN, 0, None)


def test_the_newest_index_is_that_of_the_last_one_whatever_has_become_of_it(node, secret):
    opened = add(node, secret)
    assert node.newest_add_index() == opened.add_index
    node.cancel_invoice(secret.payment_hash)
    assert node.newest_add_index() == opened.add_index


def test_the_same_hash_twice_is_refused_and_the_first_stays(node, secret):
    opened = add(node, secret)
    with pytest.raises(Rejected) as caught:
        add(node, secret, amount_sat=1)
    assert caught.value.reason == "already_exists"
    assert node.invoice(secret.payment_hash).payment_request == opened.payment_request


def test_a_hash_is_used_up_also_once_its_invoice_is_over(node, secret):
    add(node, secret)
    node.cancel_invoice(secret.payment_hash)
    with pytest.raises(Rejected) as caught:
        add(node, secret)
    assert caught.value.reason == "already_exists"
    assert node.invoice(secret.payment_hash).state is NodeInvoiceState.CANCELED


def test_what_nobody_pays_in_time_is_cancelled_by_the_node(node, secret):
    index = add(node, secret, expiry_seconds=1).add_index
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.CANCELED, "it has run out")
    assert secret.payment_hash not in {each.payment_hash for each in node.pending_invoices(after_add_index=index - 1)}
    node.cancel_invoice(secret.payment_hash)
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "cancelled"


@pytest.mark.parametrize(
    "wrong",
    [{"cltv_blocks": 10}, {"cltv_blocks": 100_000}, {"memo": "x" * 2000}, {"expiry_seconds": 10**9}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_no_invoice_can_have_is_refused(node, secret, wrong):
    with pytest.raises(Rejected) as caught:
        add(node, secret, **wrong)
    assert caught.value.reason == "invalid"
    with pytest.raises(NotFound):
        node.invoice(secret.payment_hash)


def test_what_is_no_hash_is_refused(node, secret):
    with pytest.raises(Rejected) as caught:
        node.add_hold_invoice(payment_hash="ab" * 31, amount_sat=1, memo="", expiry_seconds=60, cltv_blocks=CLTV_BLOCKS)
    assert caught.value.reason == "invalid"


def test_a_held_payment_says_how_much_and_until_when(network, node, secret):
    found = accepted(network, node, secret)
    assert (found.state, found.held_msat, found.settled_msat) == (NodeInvoiceState.ACCEPTED, AMOUNT_SAT * 1000, 0)
    assert found.nearest_expiry_height >= node.info().block_height + CLTV_BLOCKS
    node.cancel_invoice(secret.payment_hash)


def test_a_held_payment_is_settled_and_settled_again(network, node, secret):
    accepted(network, node, secret)
    for _ in range(2):
        node.settle_invoice(secret.preimage)
    found = node.invoice(secret.payment_hash)
    assert found.state is NodeInvoiceState.SETTLED
    assert (found.held_msat, found.settled_msat) == (0, AMOUNT_SAT * 1000)


def test_a_held_payment_is_cancelled_and_cancelled_again(network, node, secret):
    accepted(network, node, secret)
    for _ in range(2):
        node.cancel_invoice(secret.payment_hash)
    found = node.invoice(secret.payment_hash)
    assert (found.state, found.held_msat, found.settled_msat) == (NodeInvoiceState.CANCELED, 0, 0)


def test_the_node_gives_a_held_payment_back_18_blocks_before_its_end(network, node, secret):
    opened = add(node, secret, cltv_blocks=24)
    payment = network.buyer.pay(opened.payment_request)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED, "the payment is held")
    left = node.invoice(secret.payment_hash).nearest_expiry_height - node.info().block_height
    network.mine(left - 18 - 1)
    assert node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED
    network.mine(1)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.CANCELED, "it goes back")
    assert payment.wait() == FAILED
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "cancelled"


def test_a_payment_in_parts_is_held_whole(network, node, secret):
    opened = add(node, secret)
    payment = network.buyer.pay(opened.payment_request, max_parts=4, max_shard_size_msat=AMOUNT_SAT * 250)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED, "all parts are there")
    assert node.invoice(secret.payment_hash).held_msat == AMOUNT_SAT * 1000
    node.settle_invoice(secret.preimage)
    assert payment.wait() == SUCCEEDED
    assert node.invoice(secret.payment_hash).settled_msat == AMOUNT_SAT * 1000


def test_a_part_alone_is_held_by_an_open_invoice_and_cannot_be_settled(network, node, secret):
    opened = add(node, secret)
    network.buyer.pay_part(opened.payment_request, AMOUNT_SAT * 250)
    until(lambda: node.invoice(secret.payment_hash).held_msat == AMOUNT_SAT * 250, "the part is there")
    assert node.invoice(secret.payment_hash).state is NodeInvoiceState.OPEN
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "still_open"
    node.cancel_invoice(secret.payment_hash)
    found = node.invoice(secret.payment_hash)
    assert (found.state, found.held_msat) == (NodeInvoiceState.CANCELED, 0)


def test_parts_are_held_together_whoever_sent_them(network, node, lsp, peer, secret):
    """Two payments of which neither is whole pay more than was asked."""
    lsp.open_channel(peer, 200_000, 150_000)
    opened = add(node, secret)
    for number, payer in enumerate((network.buyer, peer), start=1):
        payer.pay_part(opened.payment_request, AMOUNT_SAT * 750)
        held_msat = AMOUNT_SAT * 750 * number
        until(lambda held=held_msat: node.invoice(secret.payment_hash).held_msat == held, "the part is there")
    assert node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED
    node.settle_invoice(secret.preimage)
    found = node.invoice(secret.payment_hash)
    assert (found.state, found.settled_msat) == (NodeInvoiceState.SETTLED, AMOUNT_SAT * 1500)


def test_more_than_asked_is_held_whole_and_less_is_refused(network, node, secret):
    opened = add(node, secret)
    less = network.buyer.pay_amount(opened.payment_request, AMOUNT_SAT * 1000 - 1)
    assert less.wait() == FAILED
    assert node.invoice(secret.payment_hash).state is NodeInvoiceState.OPEN
    network.buyer.pay_amount(opened.payment_request, AMOUNT_SAT * 1500)
    until(lambda: node.invoice(secret.payment_hash).state is NodeInvoiceState.ACCEPTED, "the payment is held")
    assert node.invoice(secret.payment_hash).held_msat == AMOUNT_SAT * 1500
    node.settle_invoice(secret.preimage)
    assert node.invoice(secret.payment_hash).settled_msat == AMOUNT_SAT * 1500


def test_settling_after_a_cancel_is_refused(node, secret):
    add(node, secret)
    node.cancel_invoice(secret.payment_hash)
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "cancelled"


def test_cancelling_after_a_settle_is_refused(network, node, secret):
    accepted(network, node, secret)
    node.settle_invoice(secret.preimage)
    with pytest.raises(Rejected) as caught:
        node.cancel_invoice(secret.payment_hash)
    assert caught.value.reason == "settled"


def test_settling_what_nobody_paid_is_refused(node, secret):
    add(node, secret)
    with pytest.raises(Rejected) as caught:
        node.settle_invoice(secret.preimage)
    assert caught.value.reason == "still_open"


def test_an_unknown_invoice_is_not_found(node):
    for call in (
        lambda: node.invoice(os.urandom(32).hex()),
        lambda: node.cancel_invoice(os.urandom(32).hex()),
        lambda: node.settle_invoice(os.urandom(32)),
    ):
        with pytest.raises(NotFound):
            call()


def test_pending_invoices_are_those_open_or_held_after_an_index(network, node):
    before, open_one, held_one, cancelled_one = Secret(), Secret(), Secret(), Secret()
    index = add(node, before).add_index
    add(node, open_one)
    accepted(network, node, held_one)
    add(node, cancelled_one)
    node.cancel_invoice(cancelled_one.payment_hash)
    found = {invoice.payment_hash: invoice.state for invoice in node.pending_invoices(after_add_index=index)}
    assert found == {open_one.payment_hash: NodeInvoiceState.OPEN, held_one.payment_hash: NodeInvoiceState.ACCEPTED}
    node.cancel_invoice(held_one.payment_hash)


def test_pending_invoices_are_found_over_several_pages(node, monkeypatch):
    monkeypatch.setattr("lightning.node._INVOICE_PAGE", 2)
    index = add(node, Secret()).add_index
    secrets = [Secret() for _ in range(5)]
    for secret in secrets:
        add(node, secret)
    found = [invoice.payment_hash for invoice in node.pending_invoices(after_add_index=index)]
    assert found == [secret.payment_hash for secret in secrets]
