"""What wallets are to be told is sent: signed by our node, tried again where nobody takes it, given up after a time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, When
from django.utils import timezone

from lightning.errors import LightningError
from lightning.node import LndNode
from orders.models import WakeUp, WakeUpMethod, WakeUpOutcome
from orders.waking import posting, signing
from orders.waking.posting import NotDelivered

log = logging.getLogger(__name__)

#: Who has taken one has sent it by then, or died: then another takes it.
_TAKEN: Final = timedelta(seconds=60)
_FIRST_PAUSE_SECONDS: Final = 2
_LONGEST_PAUSE_SECONDS: Final = 120
#: Whoever had to be woken for it does not wait any more.
_GIVEN_UP_AFTER: Final = timedelta(minutes=10)


#: Strangers register as they like, and payments are paid for: so these go first.
_URGENT: Final = Case(When(method=WakeUpMethod.REGISTERED, then=1), default=0)
#: Others of the same webhook that come before.
_WELCOMES: Final = WakeUp.objects.filter(
    webhook=OuterRef("webhook"), method=WakeUpMethod.REGISTERED, outcome="", failures=0
).exclude(pk=OuterRef("pk"))


class Taken(NamedTuple):
    """One that is to be sent now, by whoever has taken it."""

    pk: int
    pubkey: str
    only_while_away: bool


def take(most: int, now: datetime | None = None, *, only_urgent: bool = False) -> list[Taken]:
    """So many of those that are due, first what payments wait for; nobody else takes them for a minute.

    `only_urgent`: nothing that has failed before, and nothing that strangers make without end.

    The first that a webhook hears is that it is registered.
    """
    now = now or timezone.now()
    with transaction.atomic(durable=True):
        due = WakeUp.objects.select_for_update(skip_locked=True, of=("self",)).filter(outcome="", next_at__lte=now)
        due = due.filter(failures=0).exclude(method=WakeUpMethod.REGISTERED) if only_urgent else due
        rows = due.exclude(Exists(_WELCOMES)).select_related("webhook").order_by("failures", _URGENT, "pk")[:most]
        found = [_taken(row) for row in rows]
        WakeUp.objects.filter(pk__in=[each.pk for each in found]).update(next_at=now + _TAKEN)
    return found


def _taken(row: WakeUp) -> Taken:
    return Taken(row.pk, row.webhook.node_pubkey, row.method != WakeUpMethod.REGISTERED)


def send(pk: int, node: LndNode, now: datetime | None = None) -> None:
    """It is sent, or will be tried again, or is given up. Nothing hangs on it. Repeat: safe, but it is sent again."""
    now = now or timezone.now()
    row = WakeUp.objects.select_related("webhook").filter(pk=pk, outcome="").first()
    if row is None:
        return
    try:
        at, body = signing.timestamp(now), signing.body(row.method, row.timeout_height)
        headers = {"x-lsps5-timestamp": at, "x-lsps5-signature": node.sign(signing.signed(at, body))}
        posting.post(row.webhook.url, body, headers)
    except (NotDelivered, LightningError) as problem:
        why = str(problem) if isinstance(problem, NotDelivered) else "our node did not sign"
        _failed(row, why, now)
        return
    _end(row.pk, WakeUpOutcome.DELIVERED, now)


def there(pk: int, now: datetime | None = None) -> None:
    """Its wallet's node is connected: it need not be sent."""
    now = now or timezone.now()
    _end(pk, WakeUpOutcome.THERE, now)
    WakeUp.objects.filter(pk=pk).update(came_at=now)


def _failed(row: WakeUp, why: str, now: datetime) -> None:
    log.info("peer=%s was not told %s: %s", row.webhook.node_pubkey, row.method, why)
    facts = {"failures": F("failures") + 1, "last_failure": why[:100]}
    WakeUp.objects.filter(pk=row.pk, outcome="").update(next_at=now + _pause(row.failures), **facts)
    if now - row.created_at >= _GIVEN_UP_AFTER:
        _end(row.pk, WakeUpOutcome.GIVEN_UP, now)


def _pause(failures: int) -> timedelta:
    """Doubling, up to a limit."""
    return timedelta(seconds=min(_FIRST_PAUSE_SECONDS * 2 ** min(failures, 20), _LONGEST_PAUSE_SECONDS))


def _end(pk: int, outcome: WakeUpOutcome, now: datetime) -> None:
    WakeUp.objects.filter(pk=pk, outcome="").update(outcome=outcome, ended_at=now)
