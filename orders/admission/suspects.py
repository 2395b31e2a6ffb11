"""Whose payments have lately had us work for nothing: what they do now is looked at after what others do."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orders import queries
from orders.models import Reservation
from orders.states import Firmness


def among(order_ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Those of these orders whose client has paid for nothing within the hour.

    What was held of his, besides, went back, or has had its time: unclaimed, or with a node that failed. Nobody's where
    a client's address means nothing.
    """
    wasted = Reservation.objects.filter(
        Q(released_at__gt=now - queries.CLIENT_WINDOW) | Q(released_at=None, until__lte=now),
        client_hash=OuterRef("client_hash"),
        firmness__in=[Firmness.HELD, Firmness.WAITING],
    ).exclude(order=OuterRef("order"))
    wasted = wasted.exclude(client_hash="")  # said of these too, so that their index serves
    rows = Reservation.objects.filter(Exists(wasted), order__in=order_ids).exclude(client_hash="")
    return set(rows.values_list("order_id", flat=True))
