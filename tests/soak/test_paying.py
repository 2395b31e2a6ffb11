"""Payments that share a channel, and a payee that is killed again and again: the channel lives on."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from tests.regtest.fixtures import AddPeer
from tests.regtest.lnd import Lnd
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until
from tests.soak.paying import OneByOne

PAYMENTS = 3
#: lnrpc.Invoice.InvoiceState
ACCEPTED = 3


def hold_invoice(payee: Lnd, preimage: bytes) -> str:
    payment_hash = hashlib.sha256(preimage).digest()
    added = payee.call("invoicesrpc.Invoices/AddHoldInvoice", hash=payment_hash, value=20_000, cltv_expiry=144)
    return str(added.payment_request)


def settle(payee: Lnd, preimage: bytes) -> None:
    """Once it is held."""
    payment_hash = hashlib.sha256(preimage).digest()
    lookup = "invoicesrpc.Invoices/LookupInvoiceV2"
    until(lambda: payee.call(lookup, payment_hash=payment_hash).state == ACCEPTED, "it is held")
    payee.call("invoicesrpc.Invoices/SettleInvoice", preimage=preimage)


def test_held_payments_outlive_a_payee_that_is_killed_each_time_that_it_has_settled_one(add_peer: AddPeer) -> None:
    payer, payee = add_peer(funded_sat=20_000_000), add_peer()
    point = payer.open_channel(payee, 5_000_000)
    preimages = [os.urandom(32) for _ in range(PAYMENTS)]
    before, paying = payee.channels()[0].num_updates, OneByOne(payer)
    with ThreadPoolExecutor(PAYMENTS) as pool:  # at once, as buyers do
        payments = list(pool.map(paying.pay, [hold_invoice(payee, preimage) for preimage in preimages]))
    assert payee.channels()[0].num_updates - before >= PAYMENTS, "some came with one commitment"
    for preimage, payment in zip(preimages, payments, strict=True):
        settle(payee, preimage)
        assert payment.wait() == SUCCEEDED
        payee.kill()
        payee.start()
        until(lambda: payee.is_active(point) and payer.is_active(point), "the channel is active again")
