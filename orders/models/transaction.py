"""A transaction of ours: stored before it is published, published until it is deep."""

from __future__ import annotations

from typing import Final

from django.db import models

from lightning.types import Outpoint
from orders.states import TransactionState


class TransactionKind(models.TextChoices):
    """What it is for; also the first word of its label at the node."""

    FUNDING = "funding", "Funding"
    CONFLICT = "conflict", "Conflict"
    REFUND = "refund", "Refund"
    SPLIT = "split", "Split"
    CONSOLIDATION = "consolidation", "Consolidation"


#: Those that are made for no order, but to have coins of other sizes.
SHAPING: Final = (TransactionKind.SPLIT, TransactionKind.CONSOLIDATION)


class WalletTransaction(models.Model):
    """One version of one transaction. Openings share it with everything else that publishes."""

    kind = models.CharField(max_length=16, choices=TransactionKind.choices)
    state = models.CharField(max_length=16, choices=TransactionState.choices, default=TransactionState.DRAFTED)
    label = models.CharField(max_length=120, db_index=True)
    txid = models.CharField(max_length=64, unique=True)
    psbt = models.BinaryField()
    raw = models.BinaryField(null=True, help_text="Signed; empty until it is.")
    inputs = models.JSONField(help_text="[[outpoint, amount_sat, script_hex], …]")
    lock_id = models.BinaryField(max_length=32, help_text="Under which the node leases its coins.")
    change_index = models.IntegerField(default=-1)
    fee_sat = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)
    block_height = models.PositiveIntegerField(null=True, blank=True)
    bumped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["id"],
                name="transaction_shaping",
                condition=models.Q(kind__in=["split", "consolidation"], state__in=["drafted", "signed", "published"]),
            )
        ]
        constraints = [
            models.CheckConstraint(
                name="transaction_state_known", condition=models.Q(state__in=TransactionState.values)
            ),
            models.CheckConstraint(
                name="transaction_signed_has_bytes",
                condition=~models.Q(state="signed") | models.Q(raw__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.txid

    @property
    def spends(self) -> list[Outpoint]:
        """The coins it takes."""
        return [Outpoint.parse(outpoint) for outpoint, _, _ in self.inputs]
