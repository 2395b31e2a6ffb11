"""A node that pays hold invoices one after the other, so that each has a commitment of its own at the payee's."""

from __future__ import annotations

import threading
from contextlib import suppress

import grpc

from tests.regtest.lnd import Lnd
from tests.regtest.payment import FINAL, NeverLeft, Payment
from tests.regtest.waiting import NeverHappened, until


class OneByOne:
    """All pay through it who share the node.

    Why: where several HTLCs came with one commitment and one of them was answered, LND 0.21.3 miscounts the others when
    it is started anew. Once more of them are answered and it is started again, it fails the channel's link at each
    start, and the channel is dead until an HTLC in it runs out, and it is closed by force.
    """

    def __init__(self, node: Lnd) -> None:
        self._node = node
        self._turn = threading.Lock()

    def pay(self, invoice: str, amount_msat: int = 0) -> Payment:
        """The payment is in the channel for good; so much, where the invoice is not to say it. Raises: NeverLeft."""
        payment_hash = bytes.fromhex(self._node.call("lnrpc.Lightning/DecodePayReq", pay_req=invoice).payment_hash)
        with self._turn:
            payment = self._node.pay_amount(invoice, amount_msat) if amount_msat else self._node.pay(invoice)
            try:
                payment.wait_locked()
            except NeverLeft:
                self._forgive()
                raise
            with suppress(NeverHappened):  # the payee is away: it goes on when it is back
                until(lambda: payment.status() in FINAL or self._is_locked_in(payment_hash), "it is locked in")
        return payment

    def _is_locked_in(self, payment_hash: bytes) -> bool:
        pending = [htlc for channel in self._node.channels() for htlc in channel.pending_htlcs]
        return any(htlc.locked_in and htlc.hash_lock == payment_hash for htlc in pending)

    def _forgive(self) -> None:
        """A payee that was killed fails what was on its way, as if it could not read it. For a minute after that the
        payer finds no route to it: so long an order lives.
        """
        with suppress(grpc.RpcError):
            self._node.call("routerrpc.Router/ResetMissionControl")
