"""What is wrong now, whether somebody was told, and who wants to hear what, and when."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import F, Q

from orders.ids import shortened

#: The one row of the rules.
RULES: Final = 1


class Alert(models.Model):
    """One thing that went wrong, until it is right again. What goes wrong anew is a new row."""

    key = models.CharField(max_length=255, help_text="What is wrong: a check's name, or a flag's number.")
    message = models.TextField()
    since = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Empty: nobody was told yet.")
    told_on = models.CharField(max_length=200, blank=True, help_text="The channels that took it.")
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="alert_stands_once", condition=Q(cleared_at__isnull=True))
        ]

    def __str__(self) -> str:
        return shortened(self.key)


class AlertMute(models.Model):
    """Alerts of a kind are not sent to a channel, for a time. No mute is without an end."""

    kind = models.CharField(max_length=64, blank=True, help_text="A check's or a flag's; empty: all.")
    channel = models.CharField(max_length=24, blank=True, help_text="One URL, hashed; empty: all.")
    reason = models.CharField(max_length=200)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=200)
    until = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(until__gt=F("made_at")), name="mute_ends_after_it_begins"),
        ]

    def __str__(self) -> str:
        return f"mute {self.pk}"


class AlertRules(models.Model):
    """When nobody wants to be woken, and when the day is summed up. There is one row, or none."""

    quiet_from = models.TimeField(null=True, blank=True, help_text="From then on only losses are told.")
    quiet_until = models.TimeField(null=True, blank=True)
    summary_at = models.TimeField(null=True, blank=True, help_text="Empty: there is no summary.")
    zone = models.CharField(max_length=64, default="UTC", help_text="Whose clock that is.")
    summed_up = models.DateField(null=True, blank=True, editable=False, help_text="The last day that was told of.")

    class Meta:
        verbose_name = "alert rules"
        verbose_name_plural = "alert rules"
        constraints = [
            models.CheckConstraint(condition=Q(pk=RULES), name="alert_rules_are_one"),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="quiet_hours_have_both_ends",
            ),
        ]

    def __str__(self) -> str:
        return "rules"
