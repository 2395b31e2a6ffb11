"""Staff mute alerts for a time, and lift that again."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from orders import trail
from orders.actors import Authority, Kind, open_to
from orders.errors import InvalidField, NotPossible
from orders.models import AlertMute, AuditKind
from watch import hearing

_LONGEST_REASON = 200


@open_to(Kind.STAFF, Kind.COMMAND)
def mute(kind: str, channel: str, *, until: datetime, reason: str, actor: Authority) -> AlertMute:
    """Alerts of this kind do not go to this channel until then; what stands is told when it is over.

    Raises: InvalidField (no reason; an end that is over, or too far away for what is muted).
    """
    reason, now = " ".join(reason.split()), timezone.now()
    if not reason or len(reason) > _LONGEST_REASON:
        raise InvalidField(f"A reason of 1 to {_LONGEST_REASON} characters is required.", field="reason")
    if fault := why_not_until(kind, until, now):
        raise InvalidField(fault, field="until")
    with transaction.atomic():
        row = AlertMute.objects.create(
            kind=kind, channel=channel, reason=reason, made_at=now, made_by=str(actor), until=until
        )
        words = f"muted {hearing.named(kind)}: {reason}"
        facts = {"number": row.pk, "channel": channel or "all", "until": until}
        trail.add(AuditKind.ALERTS, words, actor=actor, facts=facts)
    return row


def why_not_until(kind: str, until: datetime, now: datetime) -> str:
    """Empty: it may last so long."""
    if until <= now:
        return "The end must be in the future."
    longest = hearing.longest(kind)
    if until - now > longest:
        losses = ": what loses money is among it" if longest < hearing.LONGEST else ""
        return f"It may last {longest.days} day{'s' if longest.days > 1 else ''} at most{losses}."
    return ""


@open_to(Kind.STAFF, Kind.COMMAND)
def lift(mute_id: int, *, actor: Authority) -> AlertMute:
    """It stands no more. Repeat: safe. Raises: NotPossible (there is none)."""
    with transaction.atomic():
        row = AlertMute.objects.select_for_update().filter(pk=mute_id).first()
        if row is None:
            raise NotPossible("There is no such mute.")
        if row.lifted_at is None:
            row.lifted_at, row.lifted_by = timezone.now(), str(actor)
            row.save(update_fields=["lifted_at", "lifted_by"])
            words = f"lifted the mute of {hearing.named(row.kind)}"
            trail.add(AuditKind.ALERTS, words, actor=actor, facts={"number": row.pk})
    return row


def standing(now: datetime) -> list[AlertMute]:
    """Those that are neither lifted nor over."""
    return list(AlertMute.objects.filter(lifted_at=None, until__gt=now))


def since(at: datetime) -> list[AlertMute]:
    """Those that stood then or later; some of them are over."""
    return list(AlertMute.objects.filter(until__gt=at).exclude(lifted_at__lte=at))


def stood(mute: AlertMute, at: datetime) -> bool:
    """It did at this moment."""
    return mute.made_at <= at < min(mute.until, mute.lifted_at or mute.until)
