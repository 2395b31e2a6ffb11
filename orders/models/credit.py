"""An order that was taken for paid while its deposits were in no block."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.models.order import ChannelOrder


class Credit(models.Model):
    """What we may lose by one order, from when it was taken for paid until its deposits are deep. Never deleted."""

    order = models.OneToOneField(ChannelOrder, on_delete=models.PROTECT, related_name="credit")
    amount_sat = models.BigIntegerField(help_text="All that the order costs its buyer.")
    given_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When a block or the mempool was last known to have all of it.")
    looked_at = models.DateTimeField(null=True, blank=True, help_text="When that was last asked.")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Deep, or gone, or nothing can be delivered for it. Empty: it counts."
    )
    lost_at = models.DateTimeField(
        null=True, blank=True, help_text="It was gone after its channel's funding was published."
    )

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["id"], name="credit_counts", condition=Q(ended_at__isnull=True))]
        constraints = [
            models.CheckConstraint(name="credit_has_amount", condition=Q(amount_sat__gt=0)),
            models.CheckConstraint(
                name="credit_lost_is_over", condition=Q(lost_at__isnull=True) | Q(ended_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"credit {self.pk}"
