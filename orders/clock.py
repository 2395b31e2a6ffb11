"""Which orders are to be looked at, and when the next one is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from orders.models import ChannelClosing, ChannelOpening, ChannelOrder, ClosingKind
from orders.postgres.line import line
from orders.states import ClosingState, OpeningState, OrderState

#: Each time that an order changes, somebody looks at the clock: Django would write these anew.
_DUE: Final = "SELECT id FROM orders_channelorder WHERE due_at <= %s OR due_at > %s ORDER BY due_at"
_NEXT_DUE: Final = "SELECT due_at FROM orders_channelorder WHERE due_at > %s ORDER BY due_at LIMIT 1"


def due_ids(now: datetime) -> list[UUID]:
    """The orders to look at now, the longest waiting first."""
    with line().prepared() as cursor:
        cursor.execute(_DUE, [now, now + _longest_wait()])
        return [row[0] for row in cursor.fetchall()]


def next_due_at(*, after: datetime) -> datetime | None:
    """When the next order becomes due."""
    with line().prepared() as cursor:
        cursor.execute(_NEXT_DUE, [after])
        row = cursor.fetchone()
    return row[0] if row is not None else None


def is_due_now(now: datetime) -> Q:
    """Now or earlier; or so far ahead that only a clock that was wrong can have written it."""
    return Q(due_at__lte=now) | Q(due_at__gt=now + _longest_wait())


def _longest_wait() -> timedelta:
    longest = max(settings.ORDER_LIFETIME_SECONDS, settings.RETRY_MAX_SECONDS, 600)
    return timedelta(seconds=longest + 60)


def is_due_at(due_at: datetime, now: datetime) -> bool:
    """What is due then is to be looked at now; as `is_due`, of an order that was just read."""
    return due_at <= now or due_at > now + _longest_wait()


def is_due(order_id: UUID, now: datetime) -> bool:
    """The order is to be looked at now."""
    return ChannelOrder.objects.filter(is_due_now(now), pk=order_id).exists()


def due_with_peers(now: datetime) -> list[UUID]:
    """The orders to look at now whose peer may have to be waited for, the longest waiting first."""
    ending = ChannelOpening.objects.filter(order=OuterRef("pk"), state=OpeningState.CANCELLING)
    closing = ChannelClosing.objects.filter(order=OuterRef("pk"), state=ClosingState.WAITING, kind=ClosingKind.TOGETHER)
    waits = Q(state=OrderState.URI_SET) | Q(Exists(ending)) | Q(Exists(closing))
    rows = ChannelOrder.objects.filter(is_due_now(now)).filter(waits)
    return list(rows.order_by("due_at").values_list("pk", flat=True))
