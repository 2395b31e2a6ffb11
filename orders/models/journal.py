"""The journal: one row for each move, written in the transaction of the move."""

from __future__ import annotations

from django.db import models

from orders.models.order import ChannelOrder


class OrderEvent(models.Model):
    """What happened to an order, why, and at whose hand. Rows are never changed."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="events")
    version = models.PositiveIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    cause = models.CharField(max_length=64, help_text="One of orders.causes.Cause.")
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    facts = models.JSONField(default=dict)

    class Meta:
        ordering = ["order", "version"]
        constraints = [models.UniqueConstraint(fields=["order", "version"], name="event_numbered")]
        indexes = [models.Index(fields=["cause", "id"], name="event_cause")]

    def __str__(self) -> str:
        return f"{self.version} {self.cause}"
