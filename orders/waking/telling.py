"""A wallet is to be told that it is wanted: a row for each of its webhooks, sent where it is away (`sending`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from lightning.types import Channel, Htlc
from orders.models import WakeUp, WakeUpMethod, WakeUpOutcome, Webhook

#: bLIP-55: a wallet hears of what is timed out so soon.
_SOON_BLOCKS: Final = 24
#: LND closes a channel by force so long before a part runs out that it was paid and cannot take.
_INCOMING_BLOCKS: Final = 10
_LOOK_AGAIN: Final = timedelta(hours=1)


def payment_incoming(pubkey: str) -> int:
    """Something waits for the wallet's node to connect: a payment, or the channel that it has bought."""
    return _tell(pubkey, WakeUpMethod.PAYMENT)


def liquidity_wanted(pubkey: str) -> int:
    """A channel of the wallet's is to be closed with it."""
    return _tell(pubkey, WakeUpMethod.LIQUIDITY)


def _tell(pubkey: str, method: WakeUpMethod, timeout_height: int | None = None) -> int:
    """Each of its webhooks will be told, but those that were lately; returns how many.

    Repeat: safe. It may stand in another's transaction, whose last lock it takes.
    """
    if not (settings.LSPS5_ENABLED and pubkey):
        return 0
    now = timezone.now()
    with transaction.atomic():
        rows = Webhook.objects.select_for_update().filter(node_pubkey=pubkey).order_by("pk")
        told = [WakeUp(webhook=row, method=method, timeout_height=timeout_height, created_at=now, next_at=now)
                for row in rows.exclude(Exists(_lately(method, now)))]  # fmt: skip
        WakeUp.objects.bulk_create(told)
    return len(told)


def _lately(method: WakeUpMethod, now: datetime) -> QuerySet[WakeUp]:
    since = now - timedelta(seconds=settings.LSPS5_COOLDOWN_SECONDS)
    lately = WakeUp.objects.filter(webhook=OuterRef("pk"), method=method, created_at__gt=since, came_at=None)
    return lately.exclude(outcome=WakeUpOutcome.REPLACED)


def came(pubkey: str) -> int:
    """The wallet's node is connected: what waits need not be sent, and the next time it may be told at once."""
    if not settings.LSPS5_ENABLED:
        return 0
    now = timezone.now()
    since = now - timedelta(seconds=settings.LSPS5_COOLDOWN_SECONDS)
    rows = WakeUp.objects.filter(webhook__node_pubkey=pubkey).exclude(method=WakeUpMethod.REGISTERED)
    rows.filter(created_at__gt=since, came_at=None).update(came_at=now)
    return rows.filter(outcome="").update(outcome=WakeUpOutcome.THERE, ended_at=now, came_at=now)


def look(channels: Iterable[Channel], height: int) -> None:
    """All channels of the node are these: their wallets' webhooks are kept, and who lets a payment run out is told."""
    if not settings.LSPS5_ENABLED:
        return
    listed = list(channels)
    _keep({channel.peer_pubkey for channel in listed}, timezone.now())
    for channel in listed:
        timeout = None if channel.active else _timeout(channel.htlcs)
        if timeout is not None and timeout - height <= _SOON_BLOCKS:
            _tell(channel.peer_pubkey, WakeUpMethod.EXPIRY, timeout)


def _timeout(htlcs: Iterable[Htlc]) -> int | None:
    """The height at which LND closes the channel for the first of them."""
    heights = (htlc.expiry_height - (_INCOMING_BLOCKS if htlc.incoming else 0) for htlc in htlcs)
    return min(heights, default=None)


def _keep(with_channels: set[str], now: datetime) -> None:
    """Once an hour: that is exact enough for what is kept for weeks."""
    due = list(Webhook.objects.filter(looked_at__lte=now - _LOOK_AGAIN).values_list("pk", "node_pubkey"))
    needed = [pk for pk, pubkey in due if pubkey in with_channels]
    Webhook.objects.filter(pk__in=needed).update(needed_at=now)
    Webhook.objects.filter(pk__in=[pk for pk, _ in due]).update(looked_at=now)
