"""How a client stands with us: what he does now is looked at after what others do, the more he has lately begun.

And last where his payments had us work for nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from orders import queries
from orders.models import Reservation
from orders.states import Firmness


class Standing(NamedTuple):
    """That of an order's client."""

    client_hash: str
    #: For so many of his other orders he has paid within the hour, or they hold something of ours.
    paid: int
    #: He has paid for nothing within the hour: what was held of his, besides, went back, or has had its time, unclaimed
    #: or with a node that failed.
    is_suspect: bool


def of(order_ids: Collection[UUID], now: datetime) -> dict[UUID, Standing]:
    """By order; without those whose client's address means nothing."""
    rows = Reservation.objects.filter(order__in=order_ids).exclude(client_hash="").annotate(
        paid=Coalesce(Subquery(_counted(_others(now).exclude(firmness=Firmness.QUOTED))), 0),
        is_suspect=Exists(_others(now).filter(_was_wasted(now))),
    )  # fmt: skip
    fields = ("order_id", "client_hash", "paid", "is_suspect")
    return {order_id: Standing(*standing) for order_id, *standing in rows.values_list(*fields)}


def _others(now: datetime) -> QuerySet[Reservation]:
    """Of the same client, that live, or did within the hour."""
    lately = Q(released_at=None) | Q(released_at__gt=now - queries.CLIENT_WINDOW)
    others = Reservation.objects.filter(lately, client_hash=OuterRef("client_hash")).exclude(order=OuterRef("order"))
    return others.exclude(client_hash="")  # said of these too, so that their index serves


def _was_wasted(now: datetime) -> Q:
    has_ended = Q(released_at__isnull=False) | Q(until__lte=now)
    return has_ended & Q(firmness__in=[Firmness.HELD, Firmness.WAITING])


def _counted(rows: QuerySet[Reservation]) -> QuerySet[Any, Any]:
    return rows.order_by().values("client_hash").annotate(number=Count("*")).values("number")
