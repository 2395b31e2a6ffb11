"""Why an order needs a person, and who has seen to it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.causes import FlagKind
from orders.ids import shortened
from orders.models.order import ChannelOrder


class Flag(models.Model):
    """One reason, from its raising to its fall. Written by orders.flags alone, and never deleted."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="flags")
    kind = models.CharField(max_length=32, help_text="One of orders.causes.FlagKind.")
    words = models.CharField(max_length=300)
    raised_at = models.DateTimeField()
    raised_by = models.CharField(max_length=200)
    lowered_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it stands.")
    lowered_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "kind"], name="flag_stands_once", condition=Q(lowered_at__isnull=True)
            ),
            models.CheckConstraint(
                name="flag_lowered_by_somebody",
                condition=Q(lowered_at__isnull=True, lowered_by="") | (Q(lowered_at__isnull=False) & ~Q(lowered_by="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.shown}"

    @property
    def shown(self) -> str:
        """The words for whoever may look: an order that they name is known by the beginning of its id."""
        return shortened(self.words)

    @property
    def label(self) -> str:
        """The kind, in a word or two."""
        return str(dict(FlagKind.choices).get(self.kind, self.kind))

    @property
    def stands(self) -> bool:
        """Nobody has lowered it, and nothing has."""
        return self.lowered_at is None
