"""What peers have answered to a channel that nobody meant to open."""

from __future__ import annotations

from django.db import models


class DryRun(models.Model):
    """A peer was asked for one such channel, up to its `accept_channel`. One row for each, with what was said last."""

    node_pubkey = models.CharField(max_length=66)
    capacity_sat = models.BigIntegerField()
    push_sat = models.BigIntegerField()
    announced = models.BooleanField()
    pending_chan_id = models.BinaryField(max_length=32)
    begun_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it is under way, or was left by a death.")
    accepted = models.BooleanField(null=True, blank=True, help_text="Empty: the peer has said neither.")
    reason = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["node_pubkey", "capacity_sat", "push_sat", "announced"], name="dry_run_one_for_channel"
            ),
        ]
        indexes = [
            models.Index(fields=["node_pubkey"], name="dry_run_under_way", condition=models.Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.node_pubkey[:8]}… {self.capacity_sat:,} sat"
