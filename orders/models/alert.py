"""What is wrong now, and whether somebody was told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.ids import shortened


class Alert(models.Model):
    """One thing that went wrong, until it is right again. What goes wrong anew is a new row."""

    key = models.CharField(max_length=255, help_text="What is wrong: a check's name, or a flag's number.")
    message = models.TextField()
    since = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Empty: nobody was told yet.")
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="alert_stands_once", condition=Q(cleared_at__isnull=True))
        ]

    def __str__(self) -> str:
        return shortened(self.key)
