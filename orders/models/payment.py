"""What the buyer pays with: a hold invoice, and deposits to an address."""

from __future__ import annotations

from django.contrib.postgres.indexes import HashIndex
from django.db import models

from orders.models.order import ChannelOrder, Rail
from orders.states import At, DepositState, InvoiceState

#: Of the Lightning payment: at the node, and the buyer's still.
_HELD_BACK = frozenset({InvoiceState.HELD, InvoiceState.RETURNING})


class HoldInvoice(models.Model):
    """The Lightning rail of an order. The preimage is derived, never stored (see orders.keys).

    Of a channel that opens just in time it is no invoice of ours: the payment is the buyer's own, on its way to him,
    and our fee of it is what counts here. A payer may try the same one again, so its hash may come twice.
    """

    order = models.OneToOneField(ChannelOrder, on_delete=models.PROTECT, related_name="hold_invoice")
    payment_hash = models.CharField(max_length=64, db_index=True)
    payment_request = models.TextField(blank=True, help_text="Empty: the buyer's own invoice, passed on to him.")
    add_index = models.BigIntegerField(db_index=True)
    amount_sat = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=InvoiceState.choices, default=InvoiceState.OPEN)
    held_sat = models.BigIntegerField(default=0, help_text="What the node holds or has settled, rounded down.")
    held_at = models.DateTimeField(null=True, blank=True)
    hold_expires_height = models.PositiveIntegerField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    return_cause = models.CharField(max_length=64, blank=True, help_text="Why it is being returned.")

    class Meta:
        constraints = [
            models.CheckConstraint(name="invoice_state_known", condition=models.Q(state__in=InvoiceState.values)),
            models.UniqueConstraint(
                fields=["payment_hash"], name="invoice_hash_once", condition=~models.Q(payment_request="")
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "hold_expires_height"],
                name="invoice_unfinished",
                condition=models.Q(state__in=["open", "held", "returning"]),
            ),
            HashIndex(fields=["payment_request"], name="invoice_request"),  # too long for any other
        ]

    rail = Rail.LIGHTNING

    def __str__(self) -> str:
        return self.payment_hash

    @property
    def is_passed_on(self) -> bool:
        """It goes on to the buyer, less our fee: no invoice of ours."""
        return not self.payment_request

    @property
    def held_back_sat(self) -> int:
        """What the node holds and the buyer may still get back."""
        return self.held_sat if self.state in _HELD_BACK else 0

    def received_sat(self, at: At, *, height: int, depth: int) -> int:
        """What is held or settled: it has come as far as it goes."""
        return self.held_sat if self.state in _HELD_BACK | {InvoiceState.SETTLED} else 0


class OnchainPayment(models.Model):
    """One output that pays an address of ours, on time or not, for as long as we own the address."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="onchain_payments")
    txid = models.CharField(max_length=64)
    vout = models.PositiveIntegerField()
    amount_sat = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=DepositState.choices, default=DepositState.SEEN)
    seen_at = models.DateTimeField(help_text="When the network first had it, as far as the node knows.")
    block_height = models.PositiveIntegerField(null=True, blank=True)
    confirmations = models.PositiveIntegerField(default=0, help_text="At the last look.")
    inputs = models.JSONField(default=list, help_text="The outpoints it spends: a double spend shares one.")
    payers = models.JSONField(
        null=True, blank=True, help_text="The scripts of the coins that paid it; empty: nobody could tell us."
    )
    ask_at = models.DateTimeField(null=True, blank=True, help_text="When the chain source is asked about it next.")
    foreseen_at = models.DateTimeField(
        null=True, blank=True, help_text="In no block, and its fee was first found to be enough: it reserves coins."
    )
    foreseen_until = models.DateTimeField(
        null=True, blank=True, help_text="So long that holds without another look at the mempool."
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["txid", "vout"], name="onchain_payment_once"),
            models.CheckConstraint(name="onchain_payment_has_amount", condition=models.Q(amount_sat__gt=0)),
        ]
        indexes = [
            models.Index(fields=["state", "block_height"], name="onchain_payment_there"),
            models.Index(fields=["txid"], name="onchain_payment_begins", opclasses=["varchar_pattern_ops"]),
        ]

    rail = Rail.ONCHAIN
    held_back_sat = 0

    def __str__(self) -> str:
        return f"{self.txid}:{self.vout}"

    def received_sat(self, at: At, *, height: int, depth: int) -> int:
        """What of it is there at this depth, where our records reach up to block `height`."""
        if self.state == DepositState.VANISHED or (at is not At.SEEN and self.state != DepositState.CONFIRMED):
            return 0
        return 0 if at is At.DEEP and self.depth(height) < depth else self.amount_sat

    def depth(self, height: int) -> int:
        """How deep it is by our records: its block, and the last height that deposits were read at."""
        return 0 if self.block_height is None else max(self.confirmations, height - self.block_height + 1)
