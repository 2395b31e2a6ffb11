"""A peer registers a webhook, lists its own, and takes one back. Spec: bLIP-55."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from orders import locks
from orders.models import WakeUp, WakeUpMethod, WakeUpOutcome, Webhook


class TooMany(Exception):
    """The peer has as many as it may."""


class TooManyInAll(Exception):
    """We remember no more than we do."""


class Registered(NamedTuple):
    """What became of it."""

    number: int
    is_changed: bool


def register(pubkey: str, app_name: str, url: str) -> Registered:
    """The webhook of this name is the URL; if it was not yet, the URL will be told so.

    Repeat: safe; the same again keeps it for longer. Raises: TooMany, TooManyInAll.
    """
    now = timezone.now()
    with transaction.atomic(durable=True):
        locks.hold(locks.Lock.WEBHOOKS)
        known = Webhook.objects.select_for_update().filter(node_pubkey=pubkey, app_name=app_name).first()
        if known is None:
            _require_room(pubkey)
        is_changed = known is None or known.url != url
        facts = {"url": url, "set_at": now, "needed_at": now, "looked_at": now}
        row, _ = Webhook.objects.update_or_create(node_pubkey=pubkey, app_name=app_name, defaults=facts)
        if is_changed:
            _welcome(row, now)
        return Registered(Webhook.objects.filter(node_pubkey=pubkey).count(), is_changed)


def _require_room(pubkey: str) -> None:
    if Webhook.objects.filter(node_pubkey=pubkey).count() >= settings.LSPS5_WEBHOOKS_PER_PEER:
        raise TooMany
    if Webhook.objects.count() >= settings.LSPS5_WEBHOOKS:
        raise TooManyInAll


def _welcome(row: Webhook, now: datetime) -> None:
    """It hears of that before anything else; what waits was for the URL before."""
    waiting = WakeUp.objects.filter(webhook=row, outcome="")
    waiting.update(outcome=WakeUpOutcome.REPLACED, ended_at=now)
    WakeUp.objects.create(webhook=row, method=WakeUpMethod.REGISTERED, created_at=now, next_at=now)


def names(pubkey: str) -> list[str]:
    """Those of the peer, the oldest first."""
    return list(Webhook.objects.filter(node_pubkey=pubkey).order_by("pk").values_list("app_name", flat=True))


def remove(pubkey: str, app_name: str) -> bool:
    """It is gone, and what it was to be told with it; False: there was none."""
    with transaction.atomic(durable=True):  # locked first: whoever tells it something waits, and finds none
        row = Webhook.objects.select_for_update().filter(node_pubkey=pubkey, app_name=app_name).first()
        if row is not None:
            row.delete()
    return row is not None
