"""Somebody is told what fails and which orders need a person: once, until it is right again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import apprise
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from lightning import connection as lightning
from orders import locks
from orders.ids import short, shortened
from orders.locks import Lock
from orders.models import Alert, Flag
from watch import doctor
from watch.doctor import Finding

log = logging.getLogger(__name__)

_CHECK: Final = "check:"
_FLAG: Final = "flag:"
#: A message that anybody reads; the rest is counted.
_MOST_LINES: Final = 20


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
        f"{_FLAG}{pk}": f"Order {short(order_id)}… needs a person: {shortened(words)}" for pk, order_id, words in rows
    }


def record(findings: Sequence[Finding], flagged: Mapping[str, str], now: datetime) -> None:
    """Every failure and every flag that stands has a standing alert; those that are over are cleared.

    A check that was not made says nothing: its alert stands as it stood.
    """
    made = {_CHECK + finding.name for finding in findings}
    standing = {_CHECK + f.name: f"{f.name}: {f.seen}. {f.mend}" for f in findings if f.is_failure} | dict(flagged)
    with transaction.atomic(durable=True):
        known = dict(Alert.objects.filter(cleared_at=None).values_list("key", "pk"))
        over = [pk for key, pk in known.items() if key not in standing and (key in made or key.startswith(_FLAG))]
        Alert.objects.filter(pk__in=over).update(cleared_at=now)
        Alert.objects.bulk_create(
            Alert(key=key, message=message, since=now) for key, message in standing.items() if key not in known
        )


def _tell() -> int:
    """All that nobody was told of yet goes out in one message."""
    new = list(Alert.objects.filter(sent_at=None, cleared_at=None))
    if not new or not send([alert.message for alert in new]):
        return 0
    Alert.objects.filter(pk__in=[alert.pk for alert in new]).update(sent_at=timezone.now())
    return len(new)


def send(lines: Sequence[str]) -> bool:
    """At least one receiver has the message; the log names those that have not, without their URLs."""
    host = urlsplit(settings.PUBLIC_URL).netloc
    title = f"LSP {host}: {lines[0][:60]}" if len(lines) == 1 else f"LSP {host}: {len(lines)} alerts"
    body = "\n".join(lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        body += f"\n… and {len(lines) - _MOST_LINES} more"
    delivered = [_deliver(number, url, title, body) for number, url in enumerate(settings.ALERT_URL, start=1)]
    return any(delivered)


def _deliver(number: int, url: str, title: str, body: str) -> bool:
    try:
        receiver = apprise.Apprise.instantiate(url)
        delivered = receiver is not None and bool(receiver.notify(title=title, body=body))
    except Exception as error:  # noqa: BLE001  any of a hundred plugins; its text may hold the URL, which is a secret
        log.warning("alert not delivered: URL %d of ALERT_URL: %s", number, type(error).__name__)
        return False
    if not delivered:
        log.warning("alert not delivered: URL %d of ALERT_URL (%s://)", number, urlsplit(url).scheme)
    return delivered
