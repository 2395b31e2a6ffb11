"""Hold invoices and the payments that reach them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulator import bolt11, scripts
from simulator.refused import Refused

OPEN, ACCEPTED, SETTLED, CANCELED = "OPEN", "ACCEPTED", "SETTLED", "CANCELED"
IN_FLIGHT, SUCCEEDED, FAILED = "IN_FLIGHT", "SUCCEEDED", "FAILED"

#: So many blocks before a held HTLC runs out the node gives it back by itself.
HOLD_EXPIRY_BLOCKS = 18
#: What payers add to the final delta.
PAYER_PADDING_BLOCKS = 3
_PART_SECONDS = 120
_DEFAULT_EXPIRY_SECONDS = 86_400
_YEAR_SECONDS = 31_536_000
_MIN_CLTV, _MAX_CLTV, _DEFAULT_CLTV = 24, 65_535, 80
_MAX_MEMO = 1024
_REFUSED_BY_RECEIVER = "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS"


@dataclass(slots=True)
class Htlc:
    """One part of a payment, at our node."""

    amount_msat: int
    expiry_height: int
    payment_id: int
    accepted_at: float
    stage: str = ACCEPTED


@dataclass(slots=True)
class Invoice:
    """One invoice. With a preimage of our own it is settled as soon as it is paid."""

    payment_hash: str
    value_sat: int
    memo: str
    expiry_seconds: int
    cltv_blocks: int
    created_at: float
    add_index: int
    payment_request: str
    stage: str = OPEN
    htlcs: list[Htlc] = field(default_factory=list)
    preimage: str = ""

    @property
    def held(self) -> list[Htlc]:
        """The parts that are neither settled nor returned."""
        return [htlc for htlc in self.htlcs if htlc.stage == ACCEPTED]


@dataclass(slots=True)
class Payment:
    """One payment, as its payer sees it."""

    id: int
    payment_hash: str
    payer: str
    stage: str = IN_FLIGHT
    failure: str = ""
    preimage: str = ""
    amount_msat: int = 0


@dataclass
class Invoices:
    """All that were ever added, in order. What changed (hash, stage) since last asked for stands in `changed`."""

    seed: bytes
    by_hash: dict[str, Invoice] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)  # the hashes
    waiting: dict[str, None] = field(default_factory=dict)  # the hashes of what is open or held
    payments: dict[int, Payment] = field(default_factory=dict)
    changed: list[tuple[str, str]] = field(default_factory=list)
    #: By hash: what payers have committed to, and no invoice has counted yet. None: of an earlier version's world.
    committed: dict[str, list[Htlc]] | None = None
    #: So many were added before the first of these.
    added_before: int = 0

    def add(
        self, payment_hash: bytes, *, value_sat: int, memo: str, expiry_seconds: int, cltv_blocks: int, now: float
    ) -> Invoice:
        """Raises: Refused in LND's words."""
        if len(payment_hash) != 32:
            raise Refused(f"invalid hash length of {len(payment_hash)}, want 32")
        if payment_hash.hex() in self.by_hash:
            raise Refused("invoice with payment hash already exists")
        expiry_seconds, cltv_blocks = expiry_seconds or _DEFAULT_EXPIRY_SECONDS, cltv_blocks or _DEFAULT_CLTV
        _require_possible(memo, expiry_seconds, cltv_blocks)
        request = bolt11.encode(
            private=scripts.key(self.seed, "node"),
            payment_hash=payment_hash,
            payment_secret=hashlib.sha256(self.seed + payment_hash).digest(),
            amount_msat=value_sat * 1000,
            created_at=int(now),
            description=memo,
            expiry_seconds=expiry_seconds,
            cltv_blocks=cltv_blocks,
        )
        invoice = Invoice(
            payment_hash.hex(), value_sat, memo, expiry_seconds, cltv_blocks, now, self._next_index(), request
        )
        self.by_hash[invoice.payment_hash] = invoice
        self.by_request[request] = invoice.payment_hash
        return self._move(invoice, OPEN)

    def on_the_way(self, payment_hash: str) -> list[Htlc]:
        """All parts that channels have of the payment."""
        return [*self.by_hash[payment_hash].held, *(self.committed or {}).get(payment_hash, ())]

    def _next_index(self) -> int:
        return self.added_before + len(self.by_hash) + 1

    def find(self, payment_hash: bytes) -> Invoice:
        """Raises: Refused when there is none."""
        found = self.by_hash.get(payment_hash.hex())
        if found is None:
            raise Refused("unable to locate invoice" if self.by_hash else "there are no existing invoices")
        return found

    def settle(self, preimage: bytes) -> None:
        """Repeat: safe. Raises: Refused."""
        invoice = self.find(hashlib.sha256(preimage).digest())
        if invoice.stage == SETTLED:
            return
        if invoice.stage != ACCEPTED:
            raise Refused("invoice still open" if invoice.stage == OPEN else "invoice already canceled")
        invoice.preimage = preimage.hex()
        for htlc in invoice.held:
            htlc.stage = SETTLED
            payment = self.payments[htlc.payment_id]
            payment.stage, payment.preimage = SUCCEEDED, invoice.preimage
        self._move(invoice, SETTLED)

    def cancel(self, payment_hash: bytes) -> None:
        """Repeat: safe. Raises: Refused."""
        invoice = self.find(payment_hash)
        if invoice.stage == SETTLED:
            raise Refused("invoice already settled")
        if invoice.stage != CANCELED:
            for htlc in invoice.held:
                self._return(htlc)
            self._move(invoice, CANCELED)

    # What happens by itself

    def replay(self) -> None:
        """At a start the invoices count what payers had committed to before the end."""
        committed, self.committed = self.committed or {}, None
        for payment_hash, parts in committed.items():
            for htlc in parts:
                invoice, payment = self.by_hash[payment_hash], self.payments[htlc.payment_id]
                if self._takes_part_of(invoice, payment):
                    self._take(invoice, htlc, payment)
                else:
                    self._return(htlc)

    def block_came(self, height: int) -> None:
        """What is held too near to its end is cancelled."""
        for invoice in list(self._waiting(ACCEPTED)):
            nearest = min(htlc.expiry_height for htlc in invoice.held)
            if height + HOLD_EXPIRY_BLOCKS >= nearest:
                self.cancel(bytes.fromhex(invoice.payment_hash))

    def time_passed(self, now: float) -> None:
        """What nobody paid in time is cancelled, and parts whose rest never came are returned."""
        for invoice in list(self._waiting(OPEN)):
            if invoice.created_at + invoice.expiry_seconds <= now:
                self.cancel(bytes.fromhex(invoice.payment_hash))
                continue
            late = [htlc for htlc in invoice.held if htlc.accepted_at + _PART_SECONDS <= now]
            for htlc in late:
                self._return(htlc)
            if late:
                self._move(invoice, OPEN)

    def _waiting(self, stage: str) -> Iterator[Invoice]:
        waiting = (self.by_hash[payment_hash] for payment_hash in self.waiting)
        return (invoice for invoice in waiting if invoice.stage == stage)

    # Paying

    def pay(
        self,
        payment_request: str,
        *,
        payer: str,
        amount_msat: int = 0,
        parts: int = 1,
        missing_parts: int = 0,
        part_msat: int = 0,
        height: int,
        now: float,
        counts_after_start: bool = False,
    ) -> Payment:
        """The payment has begun, and has perhaps failed at once. Without an amount it is the invoice's.

        The last `missing_parts` of the parts never arrive; with `part_msat` one such part arrives, and no other.
        """
        wanted = payment_request.strip().lower().removeprefix("lightning:")
        invoice = self.by_hash.get(self.by_request.get(wanted, ""))
        payment = Payment(len(self.payments) + 1, invoice.payment_hash if invoice else "", payer)
        self.payments[payment.id] = payment
        if invoice is None:
            payment.stage, payment.failure = FAILED, "FAILURE_REASON_NO_ROUTE"
            return payment
        payment.amount_msat = amount_msat or invoice.value_sat * 1000
        expiry_height = height + invoice.cltv_blocks + PAYER_PADDING_BLOCKS
        parts_of = shares(payment.amount_msat, max(parts, 1))[: max(parts, 1) - missing_parts]
        take = self._commit if counts_after_start else self._take
        for share_msat in [part_msat] if part_msat else parts_of:
            if self._takes_part_of(invoice, payment):
                take(invoice, Htlc(share_msat, expiry_height, payment.id, now), payment)
        if all(htlc.payment_id != payment.id for htlc in [*invoice.htlcs, *self.on_the_way(invoice.payment_hash)]):
            payment.stage, payment.failure = FAILED, _REFUSED_BY_RECEIVER
        return payment

    def _takes_part_of(self, invoice: Invoice, payment: Payment) -> bool:
        """LND does not ask whose the parts are, as long as all are of the same total."""
        is_enough = payment.amount_msat >= invoice.value_sat * 1000
        others = (self.payments[htlc.payment_id].amount_msat for htlc in invoice.held)
        return invoice.stage == OPEN and is_enough and all(total == payment.amount_msat for total in others)

    def _commit(self, invoice: Invoice, htlc: Htlc, payment: Payment) -> None:
        self.committed = self.committed or {}
        self.committed.setdefault(payment.payment_hash, []).append(htlc)
        self._move(invoice, OPEN)

    def _take(self, invoice: Invoice, htlc: Htlc, payment: Payment) -> None:
        invoice.htlcs.append(htlc)
        held_msat = sum(each.amount_msat for each in invoice.held)
        self._move(invoice, ACCEPTED if held_msat >= payment.amount_msat else OPEN)
        if invoice.stage == ACCEPTED and invoice.preimage:
            self.settle(bytes.fromhex(invoice.preimage))

    def _return(self, htlc: Htlc) -> None:
        htlc.stage = CANCELED
        payment = self.payments[htlc.payment_id]
        payment.stage, payment.failure = FAILED, _REFUSED_BY_RECEIVER

    def _move(self, invoice: Invoice, stage: str) -> Invoice:
        invoice.stage = stage
        if stage in (OPEN, ACCEPTED):
            self.waiting[invoice.payment_hash] = None
        else:
            self.waiting.pop(invoice.payment_hash, None)
        self.changed.append((invoice.payment_hash, stage))
        return invoice


def _require_possible(memo: str, expiry_seconds: int, cltv_blocks: int) -> None:
    if cltv_blocks < _MIN_CLTV:
        raise Refused(f"CLTV delta of {cltv_blocks} must be greater than minimum of {_MIN_CLTV}")
    if cltv_blocks > _MAX_CLTV:
        raise Refused(f"CLTV delta of {cltv_blocks} is too large, max accepted is: {_MAX_CLTV}")
    if len(memo.encode()) > _MAX_MEMO:
        raise Refused(f"memo too large: {len(memo.encode())} bytes (maxsize={_MAX_MEMO})")
    if expiry_seconds > _YEAR_SECONDS:
        raise Refused(f"expiry of {expiry_seconds} seconds greater than max expiry of {_YEAR_SECONDS} seconds")


def shares(total: int, parts: int) -> list[int]:
    """The total in so many parts, the first bearing what does not divide."""
    each = total // parts
    return [total - each * (parts - 1), *[each] * (parts - 1)]
