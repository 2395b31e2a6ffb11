"""Somebody is told what fails and which orders need a person: once, until it is right again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from lightning import connection as lightning
from orders import locks
from orders.ids import short, shortened
from orders.locks import Lock
from orders.models import Alert, AlertMute, AlertRules, Flag
from watch import channels, doctor, hearing, muting
from watch.channels import Channel
from watch.doctor import Finding
from watch.hearing import CHECK, FLAG

_LONGEST_TOLD_ON: Final = 200


def watch() -> int:
    """What fails now is known and was told once, what is right again is cleared. Returns how many were told now.

    Money: none, and no order is touched. Nothing is looked at where nobody is to be told.
    Repeat: safe; what could not be delivered is told with the next round.
    """
    if not settings.ALERT_URL:
        return 0
    with locks.only_one(Lock.ALERTS) as obtained:
        if not obtained:
            return 0
        findings = doctor.thorough(lightning.node() if settings.LND_GRPC else None)
        record(findings, _flagged(), timezone.now())
        return _tell()


def _flagged() -> dict[str, str]:
    """Flags that stand, by key. Their orders' whole ids stay here: who knows a paid order's id may claim it."""
    rows = Flag.objects.filter(lowered_at=None).values_list("pk", "order_id", "words")
    return {
        f"{FLAG}{pk}": f"Order {short(order_id)}… needs a person: {shortened(words)}" for pk, order_id, words in rows
    }


def record(findings: Sequence[Finding], flagged: Mapping[str, str], now: datetime) -> None:
    """Every failure and every flag that stands has a standing alert; those that are over are cleared.

    A check that was not made says nothing: its alert stands as it stood.
    """
    made = {CHECK + finding.name for finding in findings}
    standing = {CHECK + f.name: f"{f.name}: {f.seen}. {f.mend}" for f in findings if f.is_failure} | dict(flagged)
    with transaction.atomic(durable=True):
        known = dict(Alert.objects.filter(cleared_at=None).values_list("key", "pk"))
        over = [pk for key, pk in known.items() if key not in standing and (key in made or key.startswith(FLAG))]
        Alert.objects.filter(pk__in=over).update(cleared_at=now)
        Alert.objects.bulk_create(
            Alert(key=key, message=message, since=now) for key, message in standing.items() if key not in known
        )


def _tell() -> int:
    """All that nobody was told of yet goes out, in one message for each channel that is to hear of it now.

    What is muted or waits for the morning is told later, if it still stands: also by a channel that was muted while
    another took it.
    """
    now = timezone.now()
    stand = list(Alert.objects.filter(cleared_at=None))
    kept = muting.since(min((row.sent_at for row in stand if row.sent_at), default=now))
    new = [row for row in stand if row.sent_at is None or kept]
    if not new:
        return 0
    kinds = _kinds(new)
    mutes, quiet = muting.standing(now), hearing.is_quiet(AlertRules.objects.first(), now)
    took: dict[int, list[str]] = {}
    for channel in channels.channels():
        there = [row for row in new if _awaits(row, kinds[row.pk], channel, kept)]
        due = [row for row in there if hearing.is_told(kinds[row.pk], channel.key, mutes, quiet=quiet)]
        if due and channels.deliver(channel, *channels.message([row.message for row in due])):
            for row in due:
                took.setdefault(row.pk, []).append(channel.label)
    _record_told([row for row in new if row.pk in took], took, now)
    return len(took)


def _awaits(row: Alert, kind: str, channel: Channel, mutes: Sequence[AlertMute]) -> bool:
    """The channel has not heard of it: nobody has, or a mute kept it from this one when others were told."""
    if row.sent_at is None:
        return True
    told = row.told_on.split(", ") if row.told_on else []
    if channel.label in told or len(", ".join([*told, channel.label])) > _LONGEST_TOLD_ON:
        return False  # the latter could not be remembered, and would be told for ever
    return hearing.is_muted(kind, channel.key, (mute for mute in mutes if muting.stood(mute, row.sent_at)))


def _record_told(rows: Sequence[Alert], took: Mapping[int, Sequence[str]], now: datetime) -> None:
    """By which channels, and when by the first: those that have told the same are written together."""
    together: dict[tuple[datetime, str], list[int]] = {}
    for row in rows:
        told = [row.told_on] if row.told_on else []
        told_on = ", ".join([*told, *took[row.pk]])[:_LONGEST_TOLD_ON]
        together.setdefault((row.sent_at or now, told_on), []).append(row.pk)
    for (sent_at, told_on), pks in together.items():
        Alert.objects.filter(pk__in=pks).update(sent_at=sent_at, told_on=told_on)


def _kinds(alerts: Sequence[Alert]) -> dict[int, str]:
    """What each is about: a check, or the kind of its flag."""
    flags = {int(row.key.removeprefix(FLAG)): row.pk for row in alerts if row.key.startswith(FLAG)}
    kinds = dict(Flag.objects.filter(pk__in=flags).values_list("pk", "kind"))
    return {row.pk: row.key for row in alerts} | {pk: f"{FLAG}{kinds.get(flag, '')}" for flag, pk in flags.items()}


def send(lines: Sequence[str]) -> bool:
    """At least one channel has the message."""
    return channels.send(lines)
