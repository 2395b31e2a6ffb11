"""What of our coins is promised to an order, and how firmly."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.models.node import Node
from orders.models.order import ChannelOrder
from orders.states import Firmness


class Reservation(models.Model):
    """One for each order, made with it and released when the order is over or its channel stands.

    Written by orders.reservations and orders.admission alone, and never deleted.
    """

    order = models.OneToOneField(ChannelOrder, primary_key=True, on_delete=models.PROTECT, related_name="reservation")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="reservations", help_text="Whose coins.")
    client_hash = models.CharField(max_length=64, blank=True, help_text="Empty: the buyer's address means nothing.")
    node_pubkey = models.CharField(max_length=66, blank=True, help_text="The buyer's node, where it is named.")
    value_sat = models.BigIntegerField(help_text="The channel, and the fee of its funding.")
    firmness = models.CharField(max_length=16, choices=Firmness.choices)
    since = models.DateTimeField()
    until = models.DateTimeField(help_text="Until then it does not give way to its equals.")
    leased_at = models.DateTimeField(null=True, blank=True, help_text="Its coins left the spendable ones.")
    gives_way_at = models.DateTimeField(null=True, blank=True, help_text="It is to go: it counts for nothing.")
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="reservation_firmness_known", condition=Q(firmness__in=Firmness.values)),
            models.CheckConstraint(name="reservation_has_a_value", condition=Q(value_sat__gt=0)),
        ]
        indexes = [
            models.Index(fields=["firmness", "until"], name="reservation_live", condition=Q(released_at__isnull=True)),
            models.Index(
                fields=["client_hash", "released_at"], name="reservation_client", condition=~Q(client_hash="")
            ),
            models.Index(
                fields=["leased_at"],
                name="reservation_leased",
                condition=Q(leased_at__isnull=False, released_at__isnull=True),
            ),
            models.Index(
                fields=["gives_way_at"],
                name="reservation_going",
                condition=Q(gives_way_at__isnull=False, released_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.value_sat} sat, {self.firmness}"

    @property
    def shown(self) -> str:
        """For people."""
        if self.released_at is not None:
            return "released"
        return f"{self.value_sat:,} sat, {'gives way' if self.is_going else self.get_firmness_display().lower()}"

    @property
    def is_going(self) -> bool:
        """It was told to give way."""
        return self.gives_way_at is not None and self.released_at is None

    @property
    def is_waiting(self) -> bool:
        """Paid, and there was no room."""
        return self.firmness == Firmness.WAITING and self.released_at is None


class Reserved(models.Model):
    """What is reserved and not leased yet, as changes that are to be added up: who sells reads no single order for it.

    Written by triggers on reservations, in the transaction of whatever changes them, and folded by
    `orders.reserved.fold`.
    """

    firmness = models.CharField(max_length=16)
    value_sat = models.BigIntegerField()
    orders = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.firmness}: {self.orders} orders, {self.value_sat} sat"
