"""Our node, what we last saw of it, signs of life of our own processes, and what staff have switched off."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orders.causes import PauseCause


class Node(models.Model):
    """A Lightning node that we sell from, and how far we have read it. There is one."""

    pubkey = models.CharField(max_length=66, unique=True)
    first_seen_at = models.DateTimeField()
    deposits_height = models.PositiveIntegerField(default=0, help_text="Deposits were read up to this block.")
    deposits_at = models.DateTimeField(null=True, blank=True, help_text="When deposits were last read.")
    deposits_reread_at = models.DateTimeField(
        null=True, blank=True, help_text="When they were last read again from far back."
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.pubkey


class NodeSnapshot(models.Model):
    """A node as we last saw it: what reads answer from, also while it is down."""

    node = models.OneToOneField(Node, primary_key=True, on_delete=models.CASCADE, related_name="snapshot")
    at = models.DateTimeField()
    alias = models.CharField(max_length=64, blank=True)
    uris = models.JSONField(default=list)
    version = models.CharField(max_length=100, blank=True)
    network = models.CharField(max_length=16)
    block_height = models.PositiveIntegerField()
    synced_to_chain = models.BooleanField(help_text="False for a moment at each block.")
    synced_at = models.DateTimeField(null=True, blank=True, help_text="When it last said that it is synced.")
    takes_zero_conf = models.BooleanField(
        default=False, help_text="It can open channels that are usable before their funding is mined."
    )
    active_channels = models.PositiveIntegerField()
    local_balance_sat = models.BigIntegerField(help_text="Over active, announced channels.")
    remote_balance_sat = models.BigIntegerField()
    spendable_sat = models.BigIntegerField(help_text="Unleased native coins, deep enough to fund channels.")
    coin_sizes = models.JSONField(
        null=True, help_text="What each of these is worth, the biggest first; the smallest of very many are left out."
    )
    coins_aside = models.JSONField(default=dict, help_text="Coins that fund no channel now: why, how many, how much.")
    required_reserve_sat = models.BigIntegerField()
    estimate_sat_per_kw = models.PositiveIntegerField()
    minimum_sat_per_kw = models.PositiveIntegerField()
    behind_until = models.DateTimeField(
        null=True, blank=True, help_text="More comes in than we keep up with: until then nothing is sold."
    )
    look_seconds = models.FloatField(null=True, help_text="How long the node took to answer all that this look asked.")

    def __str__(self) -> str:
        return self.alias

    @property
    def shape(self) -> list[int]:
        """What each of the coins is worth that fund channels; of an earlier version's row only the sum is known."""
        whole = [self.spendable_sat] if self.spendable_sat else []
        return whole if self.coin_sizes is None else list(self.coin_sizes)


class Heartbeat(models.Model):
    """When a process last finished its round."""

    name = models.CharField(max_length=32, primary_key=True)
    node = models.ForeignKey(
        Node,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        help_text="Whom it listens to; empty: not yet.",
    )
    at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.name


class SwitchName(models.TextChoices):
    """What staff can stop."""

    SALES = "sales", "Sales"
    OPENINGS = "openings", "Openings"
    CLOSINGS = "closings", "Closings"


class Switch(models.Model):
    """How a switch stands now, and who has put it there. Without a row it was never touched, and is on."""

    name = models.CharField(max_length=16, primary_key=True, choices=SwitchName.choices)
    on = models.BooleanField()
    cause = models.CharField(max_length=16, choices=PauseCause.choices, default=PauseCause.STAFF)
    reason = models.CharField(max_length=200, blank=True, help_text="Buyers are told why sales are paused.")
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "switches"
        constraints = [models.CheckConstraint(name="switch_off_has_reason", condition=Q(on=True) | ~Q(reason=""))]

    def __str__(self) -> str:
        return self.name


class SwitchEvent(models.Model):
    """Who switched what, when and why. Rows are never changed."""

    name = models.CharField(max_length=16, choices=SwitchName.choices)
    on = models.BooleanField()
    cause = models.CharField(max_length=16, choices=PauseCause.choices, default=PauseCause.STAFF)
    reason = models.CharField(max_length=200, blank=True)
    named = models.JSONField(default=list, blank=True, help_text="What the node has and our records had not.")
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.name} {'on' if self.on else 'off'}"
