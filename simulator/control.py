"""The client of the control service: what tests and `make buy` do to the simulated world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from simulator import control_pb2 as control
from simulator.control_pb2 import Fault
from simulator.control_pb2_grpc import ControlStub

FAIL, LOSE_REQUEST, LOSE_REPLY = Fault.FAIL, Fault.LOSE_REQUEST, Fault.LOSE_REPLY
PAUSE_BEFORE, PAUSE_AFTER = Fault.PAUSE_BEFORE, Fault.PAUSE_AFTER
EVERY = "*"

_SECONDS = 30.0
#: A simulator that was just started is tried again at once, not after the usual seconds. The "minimum" is how long a
#: connection may take: on a busy machine a handshake takes longer than the pause after one that was refused.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 200),
)


def is_another_node(configured: str, home: Path) -> bool:
    """A node is configured (its address; empty: none is), and it is not the simulated one that is kept in `home`.

    It is that one where the settings are those that the server writes beside it (`LSP_ENV_FILE`).
    """
    listen = home / "listen"
    return bool(configured) and not (listen.exists() and listen.read_text() == configured)


class Refused(RuntimeError):
    """The simulator could not do that; the message says why."""


class Control:
    """A connection to one simulator. Every method raises Refused where it cannot be done."""

    def __init__(self, target: str, home: Path) -> None:
        secure = grpc.ssl_channel_credentials((home / "tls.cert").read_bytes())
        self.channel = grpc.secure_channel(target, secure, options=_OPTIONS)
        self.metadata = (("macaroon", (home / "admin.macaroon").read_bytes().hex()),)
        self._stub = ControlStub(self.channel)

    def close(self) -> None:
        """The connection is closed."""
        self.channel.close()

    def _call(self, method: str, request: Any = None) -> Any:
        call = getattr(self._stub, method)
        try:
            return call(request or control.Nothing(), timeout=_SECONDS, metadata=self.metadata)
        except grpc.RpcError as error:
            details = getattr(error, "details", lambda: "")()
            raise Refused(f"{method}: {details}") from None

    # The chain

    def mine(self, blocks: int = 1) -> int:
        """So many blocks more, the mempool in the first; the height."""
        return int(self._call("Mine", control.MineRequest(blocks=blocks)).height)

    def mine_only(self, txids: Sequence[str] = (), raw: Sequence[bytes] = ()) -> int:
        """One block with these transactions and nothing else; the height."""
        return int(self._call("Mine", control.MineRequest(chosen=True, txids=txids, raw=raw)).height)

    def reorganise(self, depth: int, replacement: Sequence[bytes] | None = None) -> int:
        """A branch longer by one has taken the place of the last blocks; the height.

        With a replacement its first block has that instead of what the lost ones had.
        """
        request = control.ReorganiseRequest(
            depth=depth, replaced=replacement is not None, replacement=replacement or ()
        )
        return int(self._call("Reorganise", request).height)

    def set_fees(self, estimate_sat_per_kw: int = 0, minimum_sat_per_kw: int = 0, *, evict: bool = False) -> None:
        """What is given has changed; with `evict` the mempool has lost what pays too little now."""
        self._call("SetFees", control.Fees(
            estimate_sat_per_kw=estimate_sat_per_kw, minimum_sat_per_kw=minimum_sat_per_kw, evict=evict
        ))  # fmt: skip

    def deposit(self, *payments: tuple[str, int], replaceable: bool = False) -> str:
        """A stranger's transaction makes these payments (address, satoshis); its id."""
        outputs = [control.Output(address=address, amount_sat=amount_sat) for address, amount_sat in payments]
        return str(self._call("Deposit", control.DepositRequest(outputs=outputs, replaceable=replaceable)).txid)

    def replace(self, txid: str, *payments: tuple[str, int]) -> str:
        """The stranger's replaceable transaction makes these payments instead; the new id."""
        outputs = [control.Output(address=address, amount_sat=amount_sat) for address, amount_sat in payments]
        return str(self._call("Replace", control.ReplaceRequest(txid=txid, outputs=outputs)).txid)

    def rival_of(self, txid: str) -> bytes:
        """A transaction that takes the stranger's money back, for `mine_only` and `reorganise`."""
        return bytes(self._call("RivalOf", control.TxId(txid=txid)).raw)

    def evict(self, txid: str) -> None:
        """The mempool has lost the transaction and what spends it."""
        self._call("Evict", control.TxId(txid=txid))

    def mempool(self) -> list[str]:
        """The ids of what waits for a block."""
        return list(self._call("ListMempool").txids)

    # Customers

    def customer(self, name: str) -> control.Customer:
        """The customer of this name, new where there was none."""
        found: control.Customer = self._call("GetCustomer", control.CustomerName(name=name))
        return found

    def customers(self) -> list[control.Customer]:
        """All there are."""
        return list(self._call("ListCustomers").customers)

    def change_customer(self, name: str, **changes: Any) -> control.Customer:
        """The customer behaves otherwise: see CustomerChange for what can be given."""
        changed: control.Customer = self._call("SetCustomer", control.CustomerChange(name=name, **changes))
        return changed

    def open_channel(
        self, name: str, capacity_sat: int, *, push_sat: int = 0, by_us: bool = False, private: bool = False
    ) -> str:
        """A channel that nobody bought waits for its block; its point (txid:index)."""
        request = control.DirectOpening(
            customer=name, capacity_sat=capacity_sat, push_sat=push_sat, by_us=by_us, private=private
        )
        return str(self._call("OpenChannel", request).point)

    def close_channel(self, point: str, close_type: str = "") -> str:
        """The channel is closing, by the customer unless the type says otherwise; the transaction's id."""
        return str(self._call("CloseChannel", control.Closing(point=point, type=close_type)).txid)

    def set_policy(self, point: str, *, base_msat: int, ppm: int, cltv_blocks: int = 0) -> None:
        """Our node asks for so much over the channel, as a person has told it."""
        self._call("SetPolicy", control.Policy(point=point, base_msat=base_msat, ppm=ppm, cltv_blocks=cltv_blocks))

    def policy(self, point: str) -> control.Policy:
        """What our node asks for over the channel."""
        found: control.Policy = self._call("GetPolicy", control.ChannelName(point=point))
        return found

    def say_to_node(self, name: str, data: bytes, *, type: int = 37_913) -> None:
        """The customer, which connects for it, has sent our node a message."""
        self._call("SayToNode", control.CustomMessage(customer=name, type=type, data=data))

    def heard(self, name: str, *, skip: int = 0) -> list[tuple[int, bytes]]:
        """The messages (type, data) that our node has sent the customer, without the first so many."""
        found = self._call("ListHeard", control.Heard(customer=name, skip=skip)).messages
        return [(each.type, each.data) for each in found]

    # Payments

    def add_invoice(self, amount_sat: int) -> str:
        """A plain invoice of our node's, settled as soon as it is paid."""
        return str(self._call("AddInvoice", control.PlainInvoice(amount_sat=amount_sat)).payment_request)

    def pay(
        self,
        invoice: str,
        *,
        payer: str = "",
        amount_msat: int = 0,
        parts: int = 1,
        missing_parts: int = 0,
        part_msat: int = 0,
        over: Sequence[str] = (),
        counts_after_start: bool = False,
    ) -> control.Payment:
        """Somebody has begun to pay the invoice; over these channels, in turn, where a customer asked for it.

        With `counts_after_start` the node's end comes between the payer's commitment and the invoice: kill it then.
        """
        request = control.PayRequest(
            payment_request=invoice,
            payer=payer,
            amount_msat=amount_msat,
            parts=parts,
            missing_parts=missing_parts,
            part_msat=part_msat,
            over=over,
            counts_after_start=counts_after_start,
        )
        payment: control.Payment = self._call("Pay", request)
        return payment

    def forward(self, point_in: str, point_out: str, *, out_msat: int, fee_msat: int, at_ns: int = 0) -> None:
        """A payment of others has passed through our node."""
        self._call("AddForward", control.Forward(
            point_in=point_in, point_out=point_out, out_msat=out_msat, fee_msat=fee_msat, timestamp_ns=at_ns
        ))  # fmt: skip

    def ask_for_payment(
        self, name: str, amount_msat: int, *, scid: int, base_msat: int = 0, ppm: int = 0, cltv_blocks: int = 0
    ) -> str:
        """The customer's own invoice (0: of what the payer likes), with the way from our node to it."""
        request = control.CustomerInvoice(
            customer=name, amount_msat=amount_msat, scid=scid, base_msat=base_msat, ppm=ppm, cltv_blocks=cltv_blocks
        )
        return str(self._call("AskForPayment", request).payment_request)

    def parts(self) -> control.Parts:
        """All parts of payments that ever came to go on through our node, and what became of each."""
        found: control.Parts = self._call("ListParts")
        return found

    def require_interceptor(self, required: bool) -> None:
        """Whether nothing is passed on while nobody is asked."""
        self._call("RequireInterceptor", control.Required(required=required))

    def payment(self, number: int) -> control.Payment:
        """How the payment stands."""
        payment: control.Payment = self._call("LookPayment", control.PaymentId(id=number))
        return payment

    # The node itself

    def fill(self, *, channels: int, closed_channels: int, invoices: int, transactions: int, blocks: int) -> None:
        """The node has so much at rest, its transactions in so many blocks."""
        request = control.AtRest(
            channels=channels,
            closed_channels=closed_channels,
            invoices=invoices,
            transactions=transactions,
            blocks=blocks,
        )
        self._call("Fill", request)

    def pass_time(self, seconds: int) -> None:
        """The node's clock is so much later."""
        self._call("PassTime", control.Seconds(seconds=seconds))

    def set_synced(self, synced: bool, *, wallet_waits: bool = False, doubts_at_block: int = 0) -> None:
        """Whether the node says that it knows the whole chain; what is not given is as it should be.

        With `wallet_waits` its wallet reads no block until this is called again; so many answers after each block say
        that the node is not synced.
        """
        request = control.Synced(synced=synced, wallet_waits=wallet_waits, doubts_at_block=doubts_at_block)
        self._call("SetSynced", request)

    def tell_of_parts(self, tells: bool) -> None:
        """Whether channel events name the parts of payments that come in; until the node's end."""
        self._call("TellOfParts", control.Telling(tells=tells))

    def watch_address(self) -> str:
        """A new address of an imported key: the wallet lists its coins, and cannot spend them."""
        return str(self._call("WatchAddress").address)

    def add_fault(self, method: str, kind: control.Fault.Kind.ValueType, *, text: str = "", times: int = 1) -> None:
        """The next calls of the RPC ("SettleInvoice", or EVERY) go wrong; with 0 times, until the faults end."""
        self._call("AddFault", control.Fault(method=method, kind=kind, text=text, times=times))

    def end_faults(self, method: str = EVERY) -> None:
        """The faults of the RPC are over, and what was held goes on."""
        self._call("EndFaults", control.Method(method=method))

    def waiting(self) -> list[str]:
        """The RPCs of the calls that are held now."""
        return list(self._call("ListWaiting").methods)
