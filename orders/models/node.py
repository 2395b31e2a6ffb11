"""What we last saw of the node, and signs of life of our own processes."""

from __future__ import annotations

from django.db import models


class NodeSnapshot(models.Model):
    """The one row that reads answer from, also while the node is down."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    at = models.DateTimeField()
    pubkey = models.CharField(max_length=66)
    alias = models.CharField(max_length=64, blank=True)
    uris = models.JSONField(default=list)
    version = models.CharField(max_length=100, blank=True)
    network = models.CharField(max_length=16)
    block_height = models.PositiveIntegerField()
    synced_to_chain = models.BooleanField()
    active_channels = models.PositiveIntegerField()
    local_balance_sat = models.BigIntegerField(help_text="Over active, announced channels.")
    remote_balance_sat = models.BigIntegerField()
    spendable_sat = models.BigIntegerField(help_text="Unleased coins, deep enough to fund channels.")
    required_reserve_sat = models.BigIntegerField()
    estimate_sat_per_kw = models.PositiveIntegerField()
    minimum_sat_per_kw = models.PositiveIntegerField()
    deposits_height = models.PositiveIntegerField(default=0, help_text="Deposits were read up to this block.")
    deposits_at = models.DateTimeField(null=True, help_text="When deposits were last read.")

    class Meta:
        constraints = [models.CheckConstraint(name="node_snapshot_is_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return self.pubkey


class Heartbeat(models.Model):
    """When a process last finished its round."""

    name = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.name
