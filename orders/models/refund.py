"""Money of a buyer that goes back on chain."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.models.order import ChannelOrder
from orders.models.transaction import WalletTransaction
from orders.states import LIVE_REFUNDS, RefundState


class Refund(models.Model):
    """One sum that goes back, whatever deposits it came in. Rows are never deleted: each satoshi is in one of them.

    While one is live its order has no other: what comes meanwhile is the next one's.
    """

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="refunds")
    state = models.CharField(max_length=16, choices=RefundState.choices, default=RefundState.DUE)
    amount_sat = models.BigIntegerField(help_text="What is the buyer's; what sending it costs is taken from it.")
    ends_order = models.BooleanField(help_text="With it the order is refunded; else it was a surplus, or came later.")
    cause = models.CharField(max_length=64, help_text="Why it goes back: one of orders.causes.Cause.")
    detail = models.CharField(max_length=300, blank=True, help_text="Why it is kept, or was withdrawn.")
    too_little = models.BooleanField(
        default=False, help_text="Kept since sending it would cost too much of it: it goes with what comes later."
    )
    address = models.CharField(max_length=100, blank=True, help_text="Where it went; empty until it is signed.")
    fee_sat = models.BigIntegerField(default=0, help_text="What sending it costs, as it was signed last.")
    transaction = models.ForeignKey(
        WalletTransaction, null=True, blank=True, on_delete=models.PROTECT, related_name="refunds",
        help_text="The version that was signed last, or the one that was mined.",
    )  # fmt: skip
    created_at = models.DateTimeField()
    refunded_at = models.DateTimeField(null=True, blank=True, help_text="When it was in a block.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order"],
                name="refund_one_live",
                condition=Q(state__in=sorted(map(str, LIVE_REFUNDS))),
            ),
            models.UniqueConstraint(fields=["order"], name="refund_one_proposal", condition=Q(state="proposed")),
            models.CheckConstraint(name="refund_state_known", condition=Q(state__in=RefundState.values)),
            models.CheckConstraint(name="refund_has_amount", condition=Q(amount_sat__gt=0)),
            models.CheckConstraint(
                name="refund_costs_less_than_it_is", condition=Q(fee_sat__lt=models.F("amount_sat"))
            ),
            models.CheckConstraint(
                name="refund_sent_has_transaction",
                condition=~Q(state__in=["signed", "published", "done"])
                | (Q(transaction__isnull=False) & ~Q(address="")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["state"], name="refund_unfinished", condition=Q(state__in=["due", "signed", "published"])
            ),
            models.Index(  # each purchase sums them up
                fields=["amount_sat"], name="refund_owed", condition=Q(state__in=["due", "kept"])
            ),
            models.Index(fields=["created_at"], name="refund_made"),  # figures
            models.Index(fields=["address"], name="refund_to", condition=~Q(address="")),
        ]

    def __str__(self) -> str:
        return f"refund {self.pk}"

    @property
    def is_live(self) -> bool:
        """It is not over."""
        return self.state in LIVE_REFUNDS

    @property
    def sent_sat(self) -> int:
        """What the buyer gets of it."""
        return self.amount_sat - self.fee_sat
