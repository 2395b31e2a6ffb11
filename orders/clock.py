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

#: At each look and each change of an order somebody asks the clock, or sets it: Django would write these anew.
_DUE: Final = "SELECT id FROM orders_channelorder WHERE due_at <= %s OR due_at > %s ORDER BY due_at"
_IS_DUE: Final = "SELECT 1 FROM orders_channelorder WHERE id = %s AND (due_at <= %s OR due_at > %s)"
_SET_DUE: Final = """
UPDATE orders_channelorder SET due_at = %s WHERE id = %s AND step = %s AND due_at IS NOT DISTINCT FROM %s
"""
_NEXT_DUE: Final = "SELECT due_at FROM orders_channelorder WHERE due_at > %s ORDER BY due_at LIMIT 1"


def due_ids(now: datetime) -> list[UUID]:
    """The orders to look at now, the longest waiting first."""
    with line().prepared() as cursor:
        cursor.execute(_DUE, [now, too_far(now)])
        return [row[0] for row in cursor.fetchall()]


def next_due_at(*, after: datetime) -> datetime | None:
    """When the next order becomes due."""
    with line().prepared() as cursor:
        cursor.execute(_NEXT_DUE, [after])
        row = cursor.fetchone()
    return row[0] if row is not None else None


def set_due(order: ChannelOrder, due: datetime | None) -> bool:
    """`due` is set, unless somebody moved or nudged the order since we read it: then look again.

    What was journalled or flagged meanwhile is no reason: it changes nothing that a look finds.
    """
    with line().prepared() as cursor:
        cursor.execute(_SET_DUE, [due, order.pk, order.step, order.due_at])
        return bool(cursor.rowcount)


def too_far(now: datetime) -> datetime:
    """What is due later than this only a clock that was wrong can have written: it is due now."""
    longest = max(settings.ORDER_LIFETIME_SECONDS, settings.RETRY_MAX_SECONDS, 600)
    return now + timedelta(seconds=longest + 60)


def is_due_at(due_at: datetime, now: datetime) -> bool:
    """What is due then is to be looked at now; as `is_due`, of an order that was just read."""
    return due_at <= now or due_at > too_far(now)


def is_due(order_id: UUID, now: datetime) -> bool:
    """The order is to be looked at now."""
    with line().prepared() as cursor:
        cursor.execute(_IS_DUE, [order_id, now, too_far(now)])
        return cursor.fetchone() is not None


def due_with_peers(now: datetime) -> list[UUID]:
    """The orders to look at now whose peer may have to be waited for, the longest waiting first."""
    ending = ChannelOpening.objects.filter(order=OuterRef("pk"), state=OpeningState.CANCELLING)
    closing = ChannelClosing.objects.filter(order=OuterRef("pk"), state=ClosingState.WAITING, kind=ClosingKind.TOGETHER)
    waits = Q(state=OrderState.URI_SET) | Q(Exists(ending)) | Q(Exists(closing))
    rows = ChannelOrder.objects.filter(Q(due_at__lte=now) | Q(due_at__gt=too_far(now)), waits)
    return list(rows.order_by("due_at").values_list("pk", flat=True))
