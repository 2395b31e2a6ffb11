"""What our node has forwarded: as it told it, and added up by day."""

from __future__ import annotations

from typing import Final

from django.db import models

from orders.models.node import Node

#: An HTLC's number where the node does not say it: of what an older version of it has forwarded.
UNNUMBERED: Final = -1


class Forward(models.Model):
    """A payment that our node has passed on, kept for some weeks: so that none is counted twice."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="forwards")
    at_ns = models.BigIntegerField(help_text="When it was settled, in nanoseconds.")
    day = models.DateField(help_text="Of UTC.")
    channel_in = models.CharField(max_length=40, help_text="Where it came from: BLOCKxTXxOUTPUT.")
    channel_out = models.CharField(max_length=40)
    htlc_in = models.BigIntegerField(default=UNNUMBERED)
    htlc_out = models.BigIntegerField(default=UNNUMBERED)
    in_msat = models.BigIntegerField()
    out_msat = models.BigIntegerField()
    nth = models.PositiveIntegerField(default=0, help_text="Of several that are alike in all that the node says.")

    class Meta:
        ordering = ["at_ns", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "node", "at_ns", "channel_in", "channel_out", "htlc_in", "htlc_out", "in_msat", "out_msat", "nth",
                ],
                name="forward_once",
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["day"], name="forward_day")]

    def __str__(self) -> str:
        return f"{self.channel_in} → {self.channel_out}"


class ForwardDay(models.Model):
    """What went from one channel to another on a day of UTC. The fee is what came, less what went."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="forward_days")
    day = models.DateField()
    channel_in = models.CharField(max_length=40)
    channel_out = models.CharField(max_length=40)
    forwards = models.PositiveIntegerField()
    in_msat = models.BigIntegerField()
    out_msat = models.BigIntegerField()

    class Meta:
        ordering = ["day", "id"]
        constraints = [
            models.UniqueConstraint(fields=["node", "day", "channel_in", "channel_out"], name="forward_day_once"),
        ]
        indexes = [
            models.Index(fields=["day"], name="forward_of_day"),
            models.Index(fields=["channel_in"], name="forward_came"),
            models.Index(fields=["channel_out"], name="forward_went"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.channel_in} → {self.channel_out}"
