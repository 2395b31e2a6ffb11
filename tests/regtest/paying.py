"""A node that pays in other ways than its users do, and asks to be paid over another node."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc

from tests.regtest.payment import Payment
from tests.regtest.waiting import PATIENCE


class Paying:
    """The part of `Lnd` that has to do with such payments."""

    #: While payments are held: what settles them.
    _holds: list[bytes] | None = None

    def call(self, method: str, *, timeout: float = 30, **fields: Any) -> Any:
        """As `Lnd.call`."""
        raise NotImplementedError

    def pay(self, invoice: str, **fields: Any) -> Payment:
        """As `Lnd.pay`."""
        raise NotImplementedError

    def ask(self, over: Any, amount_sat: int, *, scid: int, cltv_blocks: int = 80) -> str:
        """An invoice of this node's, to be paid over the node `over` and the channel called so."""
        hop = {"node_id": over.pubkey, "chan_id": scid, "cltv_expiry_delta": cltv_blocks}
        hints = [{"hop_hints": [hop]}]
        if self._holds is None:
            return str(self.call("lnrpc.Lightning/AddInvoice", value=amount_sat, route_hints=hints).payment_request)
        self._holds.append(os.urandom(32))
        asked = self.call(
            "invoicesrpc.Invoices/AddHoldInvoice",
            hash=hashlib.sha256(self._holds[-1]).digest(),
            value=amount_sat,
            route_hints=hints,
        )
        return str(asked.payment_request)

    @contextmanager
    def holding_payments(self) -> Iterator[None]:
        """What is asked for meanwhile, and paid, is settled afterwards."""
        self._holds = held = []
        yield
        self._holds = None
        for preimage in held:
            self.call("invoicesrpc.Invoices/SettleInvoice", preimage=preimage)

    def give_back_held(self) -> None:
        """What is held has its payer again."""
        for preimage in self._holds or []:
            payment_hash = hashlib.sha256(preimage).digest()
            self.call("invoicesrpc.Invoices/CancelInvoice", payment_hash=payment_hash)
        (self._holds or []).clear()

    def forget_failures(self) -> None:
        """The node tries all ways again, also those by which it did not get through."""
        self.call("routerrpc.Router/ResetMissionControl")

    def pay_amount(self, invoice: str, amount_msat: int) -> Payment:
        """A payment of so much has begun, whatever the invoice asks for."""
        asked = self.call("lnrpc.Lightning/DecodePayReq", pay_req=invoice)
        return self.pay(
            "",
            dest=bytes.fromhex(asked.destination),
            amt_msat=amount_msat,
            payment_hash=bytes.fromhex(asked.payment_hash),
            payment_addr=asked.payment_addr,
            final_cltv_delta=asked.cltv_expiry,
        )

    def pay_part(self, invoice: str, part_msat: int) -> None:
        """One part of a payment is on its way to a direct peer; nobody says that the rest will follow."""
        asked = self.call("lnrpc.Lightning/DecodePayReq", pay_req=invoice)
        route = self.call(
            "routerrpc.Router/BuildRoute",
            amt_msat=part_msat,
            final_cltv_delta=asked.cltv_expiry + 3,
            hop_pubkeys=[bytes.fromhex(asked.destination)],
            payment_addr=asked.payment_addr,
        ).route
        route.hops[-1].mpp_record.total_amt_msat = asked.num_msat
        call = {"payment_hash": bytes.fromhex(asked.payment_hash), "route": route}
        threading.Thread(target=self._send_to_route, kwargs=call, name="part", daemon=True).start()

    def pay_part_over(self, over: Any, invoice: str, part_msat: int) -> None:
        """As `pay_part`, to who has asked for it over his peer `over` and a channel that nobody knows."""
        asked = self.call("lnrpc.Lightning/DecodePayReq", pay_req=invoice)
        hint = asked.route_hints[0].hop_hints[0]
        route = self.call(
            "routerrpc.Router/BuildRoute",
            amt_msat=part_msat,
            final_cltv_delta=asked.cltv_expiry + 3 + hint.cltv_expiry_delta,
            hop_pubkeys=[bytes.fromhex(over.pubkey)],
        ).route
        first = route.hops[0]
        first.expiry -= hint.cltv_expiry_delta
        last = route.hops.add(
            chan_id=hint.chan_id,
            chan_capacity=first.chan_capacity,
            amt_to_forward_msat=part_msat,
            expiry=first.expiry,
            pub_key=asked.destination,
            tlv_payload=True,
        )
        last.mpp_record.payment_addr, last.mpp_record.total_amt_msat = asked.payment_addr, asked.num_msat
        call = {"payment_hash": bytes.fromhex(asked.payment_hash), "route": route}
        threading.Thread(target=self._send_to_route, kwargs=call, name="part", daemon=True).start()

    def _send_to_route(self, **call: Any) -> None:
        with suppress(grpc.RpcError):  # the node may be stopped meanwhile
            self.call("routerrpc.Router/SendToRouteV2", timeout=PATIENCE, **call)
