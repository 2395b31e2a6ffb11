"""A channel of ours that we close, or mean to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.ids import short
from orders.models.opening import ChannelOpening
from orders.models.order import ChannelOrder
from orders.states import LIVE_CLOSINGS, ClosingState


class ClosingKind(models.TextChoices):
    """How a channel is closed."""

    TOGETHER = "together", "with its peer"
    FORCED = "forced", "by force"


class ChannelClosing(models.Model):
    """One close that somebody wanted, and what came of it. A live one excludes every other of its order."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="closings")
    opening = models.ForeignKey(
        ChannelOpening, on_delete=models.PROTECT, related_name="closings", help_text="Whose channel is closed."
    )
    kind = models.CharField(max_length=16, choices=ClosingKind.choices)
    state = models.CharField(max_length=16, choices=ClosingState.choices, default=ClosingState.WAITING)
    overrides_lease = models.BooleanField(default=False, help_text="A person wanted it before the lease's end.")
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField(db_index=True)
    tries = models.PositiveIntegerField(default=0, help_text="How often the node was asked.")
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="Since then the node may be closing it; empty: it is not."
    )
    trouble = models.CharField(max_length=64, blank=True, help_text="Why it waits.")
    detail = models.CharField(max_length=300, blank=True)
    txid = models.CharField(max_length=64, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        permissions = [
            ("close_channel", "Can close a channel whose lease is over"),
            ("force_close_channel", "Can close a channel by force"),
            ("override_lease", "Can close a channel before its lease's end"),
            ("extend_lease", "Can extend a lease as a gift"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["order"], name="closing_one_live", condition=Q(state__in=sorted(map(str, LIVE_CLOSINGS)))
            ),
            models.CheckConstraint(name="closing_state_known", condition=Q(state__in=ClosingState.values)),
            models.CheckConstraint(name="closing_kind_known", condition=Q(kind__in=ClosingKind.values)),
            models.CheckConstraint(name="closing_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"close of {short(self.order_id)}"

    @property
    def is_forced(self) -> bool:
        """Without the peer."""
        return self.kind == ClosingKind.FORCED

    @property
    def may_have_begun(self) -> bool:
        """The node has it under way, or may have."""
        return self.asked_at is not None or self.state == ClosingState.UNDER_WAY
