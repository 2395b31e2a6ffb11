"""Who did or saw what. The database refuses to change a row of it, or to take one away."""

from __future__ import annotations

from django.db import models

from orders.models.order import ChannelOrder


class AuditKind(models.TextChoices):
    """What a line of the trail is about."""

    LOGIN = "login", "logged in"
    LOGIN_REFUSED = "login_refused", "login refused"
    LOGIN_THROTTLED = "login_throttled", "too many guesses"
    LOGOUT = "logout", "logged out"
    PASSWORD = "password", "password"
    FACTOR = "factor", "second factor"
    FACTOR_REFUSED = "factor_refused", "second factor refused"
    DEED = "deed", "deed on an order"
    DEED_REFUSED = "deed_refused", "deed refused"
    SWITCH = "switch", "pause, resume"
    SERVICE = "service", "service"
    COUPON = "coupon", "coupons and names of wallets"
    BAN = "ban", "whom we do not serve"
    BOOKS = "books", "books"
    PERSON = "person", "account"
    GROUP = "group", "group and its rights"
    ALERTS = "alerts", "alerts"
    EXPORT = "export", "taken away as a file"
    SEEN = "seen", "saw what is discreet"


class AuditEntry(models.Model):
    """One thing that somebody did or saw."""

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=16, choices=AuditKind.choices)
    person = models.CharField(max_length=150, help_text="The account, the user of a command; empty: nobody known.")
    actor = models.CharField(max_length=200, help_text="The same, with how it was shown, and the groups.")
    order = models.ForeignKey(
        ChannelOrder, on_delete=models.PROTECT, null=True, blank=True, related_name="audit_entries"
    )
    words = models.CharField(max_length=300)
    facts = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["person", "id"], name="audit_person"),
            models.Index(fields=["kind", "id"], name="audit_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
