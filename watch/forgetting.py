"""What is no record of money is forgotten once it is over: counts, keys, sessions, alerts and what failed.

Orders, their journals, payments and books are kept for ever, and so is who did what: they are the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import F, QuerySet
from django_q.models import Task

from orders.models import Alert, AlertMute, BooksCheck, IdempotencyKey, RequestCount, WakeUp, Webhook

#: A statement holds no lock for long, however much there is.
AT_A_TIME: Final = 5_000


@dataclass(frozen=True)
class Kind:
    """Rows of one kind, and which of them are over at a moment."""

    name: str
    over: Callable[[datetime], QuerySet[Any]]


def _kept(now: datetime) -> datetime:
    return now - timedelta(days=settings.ALERTS_KEPT_DAYS)


def _checks(now: datetime) -> QuerySet[Any]:
    """All but the last, which is what everybody is told of."""
    last = BooksCheck.objects.values("pk")[:1]
    return BooksCheck.objects.filter(at__lt=_kept(now)).exclude(pk__in=last)


def _keys(now: datetime) -> QuerySet[Any]:
    return IdempotencyKey.objects.filter(created_at__lt=now - timedelta(seconds=settings.IDEMPOTENCY_SECONDS))


def _webhooks(now: datetime) -> QuerySet[Any]:
    """Nobody had a channel for so long by the time that was last looked at: while our node is away none is over."""
    kept = timedelta(seconds=settings.LSPS5_KEPT_SECONDS)
    return Webhook.objects.filter(looked_at__gt=F("needed_at") + kept)


KINDS: Final = (
    Kind("request counts", lambda now: RequestCount.objects.filter(ends_at__lt=now)),
    Kind("idempotency keys", _keys),
    Kind("sessions of staff", lambda now: Session.objects.filter(expire_date__lt=now)),
    Kind("alerts", lambda now: Alert.objects.filter(cleared_at__lt=_kept(now))),
    Kind("mutes", lambda now: AlertMute.objects.filter(until__lt=_kept(now))),
    Kind("checks of the books", _checks),
    Kind("webhooks of wallets", _webhooks),
    Kind("wake-ups of wallets", lambda now: WakeUp.objects.filter(ended_at__lt=_kept(now))),
    Kind("failed tasks", lambda now: Task.objects.filter(stopped__lt=_kept(now))),
)


def forget(now: datetime) -> Iterator[tuple[str, int]]:
    """Each kind, and how many rows of it are gone. Repeat: safe, beside everything that runs."""
    for kind in KINDS:
        yield kind.name, _delete(kind.over(now))


def count(now: datetime) -> Iterator[tuple[str, int]]:
    """Each kind, and how many rows of it would go."""
    for kind in KINDS:
        yield kind.name, kind.over(now).count()


def _delete(over: QuerySet[Any]) -> int:
    gone = 0
    while some := list(over.order_by().values_list("pk", flat=True)[:AT_A_TIME]):
        # Who has begun anew meanwhile stays: what is over is asked once more.
        deleted, _ = over.filter(pk__in=some).delete()
        gone += deleted
        if not deleted:
            break
    return gone
