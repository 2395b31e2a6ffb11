"""Reservations of orders that tests make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from orders.models import ChannelOrder, Reservation
from orders.states import RESERVING, Firmness, OrderState


class ReservationFactory(DjangoModelFactory[Reservation]):
    """The reservation of an order, as its state has it."""

    class Meta:
        model = Reservation
        django_get_or_create = ("order",)

    node = factory.SelfAttribute("order.lsp_node")
    client_hash = factory.SelfAttribute("order.client_hash")
    node_pubkey = factory.SelfAttribute("order.node_pubkey")
    value_sat = factory.LazyAttribute(lambda row: row.order.capacity_sat + row.order.open_fee_sat)
    since = factory.SelfAttribute("order.created_at")
    until = factory.LazyFunction(lambda: timezone.now() + timedelta(minutes=5))


def reservation_of(order: ChannelOrder) -> dict[str, Any]:
    """As the order's state has it."""
    if order.state == OrderState.CREATED:
        return {"firmness": Firmness.QUOTED}
    if order.state not in RESERVING:
        return {"firmness": Firmness.FIRM, "released_at": timezone.now()}
    is_held = order.counted_payment == "lightning" and order.state != OrderState.OPENING
    live = order.live_opening
    leased = live.transaction.created_at if live is not None and live.transaction is not None else None
    return {"firmness": Firmness.HELD if is_held and live is None else Firmness.FIRM, "leased_at": leased}
