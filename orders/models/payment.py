"""What the buyer pays with: a hold invoice, and deposits to an address."""

from __future__ import annotations

from django.db import models

from orders.models.order import ChannelOrder
from orders.states import DepositState, InvoiceState


class HoldInvoice(models.Model):
    """The Lightning rail of an order. The preimage is derived, never stored (see operations.secrets)."""

    order = models.OneToOneField(ChannelOrder, on_delete=models.PROTECT, related_name="hold_invoice")
    payment_hash = models.CharField(max_length=64, unique=True)
    payment_request = models.TextField()
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
            models.CheckConstraint(name="invoice_state_known", condition=models.Q(state__in=InvoiceState.values))
        ]
        indexes = [
            models.Index(
                fields=["state", "hold_expires_height"],
                name="invoice_unfinished",
                condition=models.Q(state__in=["open", "held", "returning"]),
            )
        ]

    def __str__(self) -> str:
        return self.payment_hash


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

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["txid", "vout"], name="onchain_payment_once"),
            models.CheckConstraint(name="onchain_payment_has_amount", condition=models.Q(amount_sat__gt=0)),
        ]
        indexes = [models.Index(fields=["state", "block_height"], name="onchain_payment_there")]

    def __str__(self) -> str:
        return f"{self.txid}:{self.vout}"
