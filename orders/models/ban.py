"""Whom we do not serve, who has said so, and why."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.barring import LONGEST_VALUE, BanKind


class Ban(models.Model):
    """One line of the list, from its writing to its lifting. Rows are never changed otherwise, and never deleted."""

    kind = models.CharField(max_length=16, choices=BanKind.choices)
    value = models.CharField(
        max_length=LONGEST_VALUE,
        help_text="A node's key; a host, .suffix or network such as 203.0.113.0/24; or an address.",
    )
    reason = models.CharField(max_length=300, help_text="For staff alone: whoever is refused is not told.")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    until = models.DateTimeField(null=True, blank=True, help_text="It ends by itself then; empty: when it is lifted.")
    lifted_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it stands, or has ended by itself.")
    lifted_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "value"], name="ban_stands_once", condition=Q(lifted_at__isnull=True)
            ),
            models.CheckConstraint(name="ban_kind_known", condition=Q(kind__in=BanKind.values)),
            models.CheckConstraint(name="ban_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="ban_lifted_by_somebody",
                condition=Q(lifted_at__isnull=True, lifted_by="") | (Q(lifted_at__isnull=False) & ~Q(lifted_by="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"
