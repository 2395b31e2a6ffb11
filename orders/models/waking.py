"""Where wallets are told that they are wanted while they are away, and what they were told (LSPS5, bLIP-55)."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q

LONGEST_NAME = 64
LONGEST_URL = 1024


class Webhook(models.Model):
    """One that a peer has registered: its name is the peer's own. Its path may hold what proves that we may call it."""

    node_pubkey = models.CharField(max_length=66, help_text="Whose it is.")
    app_name = models.CharField(max_length=LONGEST_NAME)
    url = models.CharField(max_length=LONGEST_URL, help_text="A secret of the wallet's: shown to nobody.")
    set_at = models.DateTimeField()
    needed_at = models.DateTimeField(help_text="When its wallet last had a channel, or registered it.")
    looked_at = models.DateTimeField(help_text="When we last looked whether it has one.")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["node_pubkey", "app_name"], name="webhook_of_a_name_once")]

    def __str__(self) -> str:
        return self.app_name

    @property
    def host(self) -> str:
        """The part of its URL that is no secret."""
        return urlsplit(self.url).hostname or ""


class WakeUpMethod(models.TextChoices):
    """What a wallet is told, by bLIP-55's names. That an onion message waits for it LND tells nobody."""

    REGISTERED = "lsps5.webhook_registered", "registered"
    PAYMENT = "lsps5.payment_incoming", "payment incoming"
    EXPIRY = "lsps5.expiry_soon", "expiry soon"
    LIQUIDITY = "lsps5.liquidity_management_request", "liquidity taken back"


class WakeUpOutcome(models.TextChoices):
    """How it ended."""

    DELIVERED = "delivered", "delivered"
    #: Nobody had to be woken any more.
    THERE = "there", "wallet is there"
    REPLACED = "replaced", "webhook replaced"
    GIVEN_UP = "given_up", "given up"


class WakeUp(models.Model):
    """One notification for one webhook: a row before it is sent."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="wake_ups")
    method = models.CharField(max_length=40, choices=WakeUpMethod.choices)
    timeout_height = models.PositiveIntegerField(null=True, blank=True, help_text="Of what expires soon.")
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(help_text="It is sent, or tried again, then.")
    failures = models.PositiveSmallIntegerField(default=0)
    last_failure = models.CharField(max_length=100, blank=True)
    outcome = models.CharField(max_length=10, choices=WakeUpOutcome.choices, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    came_at = models.DateTimeField(null=True, blank=True, help_text="Since then its wallet was there again.")

    class Meta:
        ordering = ["id"]
        verbose_name = "wake-up"
        indexes = [
            models.Index(fields=["next_at"], name="wake_up_due", condition=Q(outcome="")),
            models.Index(fields=["ended_at"], name="wake_up_ended", condition=~Q(outcome="")),
            models.Index(fields=["webhook", "method", "created_at"], name="wake_up_lately"),
        ]
        constraints = [
            models.CheckConstraint(name="wake_up_method_known", condition=Q(method__in=WakeUpMethod.values)),
            models.CheckConstraint(
                name="wake_up_ended_when",
                condition=Q(outcome="", ended_at=None) | (~Q(outcome="") & Q(ended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.pk}"
