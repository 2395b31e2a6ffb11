"""Orders that are paid in no block at once: together they never exceed the bound; and a control without its lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from orders.admission import placing
from orders.models import ChannelOrder, Reservation
from orders.payments.onchain import crediting
from orders.states import Firmness
from tests.concurrency.test_races import at_once
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def orders(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[ChannelOrder]:
    """Two, of which the bound has room for one; whoever has counted waits for the other to have counted too."""
    SnapshotFactory()
    made = [OrderFactory(zero_conf_satvbyte=10, client_hash=str(number)) for number in range(2)]
    for order in made:
        DepositFactory(order=order, unconfirmed=True)
    Reservation.objects.update(firmness=Firmness.COMING)
    settings.ZERO_CONF_MAX_SAT = settings.ZERO_CONF_TOTAL_MAX_SAT = made[0].order_total_sat
    together, count = threading.Barrier(2), crediting._has_room

    def slow(order: ChannelOrder) -> bool:
        has_room = count(order)
        with suppress(threading.BrokenBarrierError):
            together.wait(1)
        return has_room

    monkeypatch.setattr(crediting, "_has_room", slow)
    return made


def gives(order: ChannelOrder) -> Callable[[], None]:
    return lambda: crediting._give(order.pk, {order.onchain_payments.get().txid})


def test_of_two_at_once_one_is_taken(orders: list[ChannelOrder]) -> None:
    assert at_once(*map(gives, orders)) == [None, None]
    assert crediting.outstanding_sat() == orders[0].order_total_sat


def test_control_without_the_lock_of_sales_both_are(
    orders: list[ChannelOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing.locks, "hold", lambda lock: None)
    at_once(*map(gives, orders))
    assert crediting.outstanding_sat() > orders[0].order_total_sat
