"""Payments and claims that meet over the last coins; each race with a control that shows it without its guard."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from lightning import types
from orders import queries
from orders.admission import placing
from orders.models import ChannelOpening, ChannelOrder, NodeSnapshot, Reservation
from orders.openings import opening, terms
from orders.payments.lightning import holding
from orders.states import Firmness, OrderState
from tests.concurrency.test_races import at_once
from tests.factories import OrderFactory, SnapshotFactory
from tests.scripted import held

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def coins_for_one(db: None) -> NodeSnapshot:
    return SnapshotFactory(spendable_sat=1_600_000)


def pays(order: ChannelOrder) -> Callable[[], None]:
    seen = held(order, types.NodeInvoiceState.ACCEPTED)
    return lambda: holding.hold(order.pk, seen)


def promised(snapshot: NodeSnapshot) -> int:
    return queries.promised_sat(snapshot)


def test_of_many_who_pay_at_once_one_is_promised_the_last_coins(coins_for_one: NodeSnapshot) -> None:
    orders = [OrderFactory() for _ in range(6)]
    assert [each for each in at_once(*map(pays, orders)) if each is not None] == []
    firmness = list(Reservation.objects.values_list("firmness", flat=True))
    assert sorted(firmness) == ["held", *["waiting"] * 5]
    assert promised(coins_for_one) <= 1_600_000


def test_control_without_the_lock_of_sales_two_are(
    coins_for_one: NodeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, count = threading.Barrier(2), queries.stock

    def slow(*arguments: Any, **named: Any) -> Any:
        counted = count(*arguments, **named)
        together.wait(5)
        return counted

    monkeypatch.setattr(placing.queries, "stock", slow)
    monkeypatch.setattr(placing.locks, "hold", lambda lock: None)
    at_once(*[pays(OrderFactory()) for _ in range(2)])
    monkeypatch.undo()
    assert promised(coins_for_one) > 1_600_000


def had_their_time(count: int) -> list[ChannelOrder]:
    over = timezone.now() - timedelta(seconds=1)
    return [OrderFactory(uri_set=True, reservation__until=over) for _ in range(count)]


def test_who_is_told_to_go_begins_no_attempt(coins_for_one: NodeSnapshot) -> None:
    """Its coins are promised to who came: an attempt would spend them."""
    for _ in range(5):
        weak, payer = had_their_time(1)[0], OrderFactory()
        seen = queries.order_or_raise(weak.pk)
        at_once(pays(payer), lambda weak=weak, seen=seen: opening._intend(weak.pk, terms.of(seen)))
        has_begun = ChannelOpening.objects.filter(order=weak).exists()
        was_told = Reservation.objects.get(order=weak.pk).gives_way_at is not None
        assert has_begun != was_told, (has_begun, was_told)
        assert promised(coins_for_one) <= 1_600_000
        Reservation.objects.update(released_at=timezone.now())
        ChannelOpening.objects.all().delete()


def test_control_without_looking_for_the_mark_it_does(
    coins_for_one: NodeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = had_their_time(1)[0]
    pays(OrderFactory())()
    seen = queries.order_or_raise(weak.pk)
    assert opening._intend(weak.pk, terms.of(seen)) is None
    monkeypatch.setattr(placing, "may_begin", lambda order: True)
    assert opening._intend(weak.pk, terms.of(seen)) is not None


def test_two_who_need_each_others_coins_do_not_wait_crosswise(coins_for_one: NodeSnapshot) -> None:
    """Each holds its own row and wants the other's: the second finds it taken, and goes on."""
    NodeSnapshot.objects.update(spendable_sat=2_700_000)
    had_their_time(2)
    payers = [OrderFactory() for _ in range(4)]
    results = at_once(*map(pays, payers))
    assert [each for each in results if each is not None] == []
    assert ChannelOrder.objects.filter(state=OrderState.PAID).count() == 4
    assert promised(coins_for_one) <= 2_700_000


def test_a_row_that_somebody_moves_just_now_is_no_candidate(coins_for_one: NodeSnapshot) -> None:
    weak, locked, done = had_their_time(1)[0], threading.Event(), threading.Event()

    def moving() -> None:
        try:
            with transaction.atomic():
                Reservation.objects.select_for_update().get(order=weak.pk)
                locked.set()
                done.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=moving)
    thread.start()
    assert locked.wait(10)
    payer = OrderFactory()
    pays(payer)()  # and does not wait for it
    done.set()
    thread.join(10)
    assert Reservation.objects.get(order=payer.pk).firmness == Firmness.WAITING
    assert Reservation.objects.get(order=weak.pk).gives_way_at is None
