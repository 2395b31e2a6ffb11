"""A Lightning payment on its way, watched in the background."""

from __future__ import annotations

import threading
from typing import Any

import grpc

from tests.regtest.waiting import PATIENCE, until

IN_FLIGHT = "IN_FLIGHT"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
#: The stream broke (the payer was stopped, say): the payment may be anything.
UNKNOWN = "UNKNOWN"
FINAL = frozenset({SUCCEEDED, FAILED, UNKNOWN})


class NeverLeft(RuntimeError):
    """The payment failed before anything was sent; the message says why."""


class Payment:
    """One payment by one lnd."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._status = IN_FLIGHT
        #: Why it failed, in lnd's word or in the error of the call; empty otherwise.
        self.failure = ""
        #: The receipt, as hex; empty until the payment succeeded.
        self.preimage = ""
        self.fee_msat = 0
        self._seen_htlc = threading.Event()
        threading.Thread(target=self._watch, name="payment", daemon=True).start()

    def status(self) -> str:
        """IN_FLIGHT, SUCCEEDED, FAILED or UNKNOWN."""
        return self._status

    def wait(self, timeout: float = PATIENCE) -> str:
        """The final status. Raises: NeverHappened when it is still in flight then."""
        until(lambda: self._status in FINAL, "the payment ends", timeout=timeout)
        return self._status

    def wait_locked(self, timeout: float = PATIENCE) -> None:
        """The payer has sent its HTLC. The receiver has it a moment later. Raises: NeverLeft."""
        until(lambda: self._seen_htlc.is_set() or self._status in FINAL, "the payment is on its way", timeout=timeout)
        if not self._seen_htlc.is_set():
            raise NeverLeft(f"{self._status}: {self.failure}")

    def forget(self) -> None:
        """Nobody watches any more; the payment goes on in the payer's node."""
        self._call.cancel()

    def _watch(self) -> None:
        try:
            for update in self._call:
                self._take(update)
        except grpc.RpcError as problem:
            if self._status not in FINAL:
                self.failure = str(problem.details())
                # What lnd refuses outright (paid already, expired, no amount) never left.
                refused = problem.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                self._status = FAILED if refused else UNKNOWN

    def _take(self, update: Any) -> None:
        if update.htlcs:
            self._seen_htlc.set()
        status = _name(update, "status")
        if status == SUCCEEDED:
            self.preimage, self.fee_msat = update.payment_preimage, update.fee_msat
        if status == FAILED:
            self.failure = _name(update, "failure_reason")
        self._status = status if status in FINAL else IN_FLIGHT


def _name(message: Any, field: str) -> str:
    """The name of an enum field's value."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(values[getattr(message, field)].name)
