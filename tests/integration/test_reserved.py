"""What is reserved is added up as it changes, and never otherwise than the reservations themselves say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from orders import queries
from orders.models import NodeSnapshot, Reservation, Reserved
from orders.reserved import fold, mend_sums, sums_astray
from orders.states import Firmness
from tests.factories import OrderFactory, SnapshotFactory
from tests.reserving import ReservationFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def seen() -> NodeSnapshot:
    return SnapshotFactory()


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    yield
    assert sums_astray() == []


def reserved(firmness: Firmness = Firmness.QUOTED, **given: Any) -> Reservation:
    order = OrderFactory(reservation=False)
    row: Reservation = ReservationFactory(order=order, firmness=firmness, **given)
    return row


CHANGES: dict[str, Callable[[Any], object]] = {
    "another firmness": lambda rows: rows.update(firmness=Firmness.REACHED),
    "another value": lambda rows: rows.update(value_sat=7),
    "leased": lambda rows: rows.update(leased_at=NOW),
    "told to go": lambda rows: rows.update(gives_way_at=NOW),
    "released": lambda rows: rows.update(released_at=NOW),
    "told to go, and released": lambda rows: (rows.update(gives_way_at=NOW), rows.update(released_at=NOW)),
    "leased, and no more": lambda rows: (rows.update(leased_at=NOW), rows.update(leased_at=None)),
    "released, and no more": lambda rows: (rows.update(released_at=NOW), rows.update(released_at=None)),
    "for longer": lambda rows: rows.update(until=NOW),
    "deleted": lambda rows: rows.delete(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", [Firmness.QUOTED, Firmness.HELD, Firmness.FIRM])
def test_whatever_becomes_of_a_reservation_the_sums_are_what_the_reservations_say(first: Firmness, change: str) -> None:
    reserved()
    ours = reserved(first)
    CHANGES[change](Reservation.objects.filter(pk=ours.pk))
    assert sums_astray() == []


def test_what_does_not_change_what_is_reserved_writes_nothing() -> None:
    ours = reserved()
    before = Reserved.objects.count()
    Reservation.objects.filter(pk=ours.pk).update(firmness=Firmness.QUOTED, node_pubkey="02" * 33, until=NOW)
    assert Reserved.objects.count() == before


def test_what_is_taken_back_was_never_added() -> None:
    before = list(Reserved.objects.values())
    with transaction.atomic():
        reserved()
        transaction.set_rollback(True)
    assert list(Reserved.objects.values()) == before


def test_control_without_the_trigger_it_is_astray_and_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_reservation DISABLE TRIGGER reservation_counts_otherwise")
    Reservation.objects.filter(pk=reserved().pk).update(firmness=Firmness.FIRM)
    assert sums_astray() == ["firm", "quoted"]
    mend_sums()
    assert sums_astray() == [] and "added up wrongly" in caplog.text


def test_what_is_right_is_not_mended() -> None:
    reserved()
    before = list(Reserved.objects.values())
    mend_sums()
    assert list(Reserved.objects.values()) == before


def test_many_changes_are_folded_and_few_are_not(seen: NodeSnapshot) -> None:
    for number in range(4):
        reserved(Firmness.HELD if number % 2 else Firmness.QUOTED, value_sat=100 + number)
    before = queries.stock(seen)
    fold()
    assert Reserved.objects.count() == before.changes == 4
    fold(201)
    after = queries.stock(seen)
    assert (after.changes, after.held_sat, after.unpaid) == (2, before.held_sat, before.unpaid) == (2, 204, 2)


def test_what_comes_to_nothing_leaves_no_row_when_it_is_folded() -> None:
    Reservation.objects.filter(pk=reserved().pk).update(released_at=NOW)
    fold(201)
    assert not Reserved.objects.exists()


class TestStock:
    def test_what_is_leased_counts_until_the_coins_were_counted_without_it(self, seen: NodeSnapshot) -> None:
        reserved(Firmness.FIRM, value_sat=1_000, leased_at=seen.at - timedelta(seconds=1))
        assert queries.stock(seen).firm_sat == 0
        reserved(Firmness.FIRM, value_sat=20, leased_at=seen.at)
        reserved(Firmness.FIRM, value_sat=3)
        assert queries.stock(seen).firm_sat == 23

    @pytest.mark.parametrize(
        "given", [{}, {"leased_at": NOW + timedelta(hours=1)}, {"gives_way_at": NOW}, {"released_at": NOW}]
    )
    def test_one_left_out_counts_for_nothing(self, seen: NodeSnapshot, given: dict[str, Any]) -> None:
        reserved(Firmness.HELD, value_sat=5)
        ours = reserved(Firmness.HELD, value_sat=1_000, **given)
        stock = queries.stock(seen, besides=ours.pk)
        assert stock.held_sat == 5

    def test_unpaid_ones_are_counted_of_all_and_of_the_client(self, seen: NodeSnapshot) -> None:
        ours = [reserved(client_hash="ab") for _ in range(2)]
        reserved(client_hash="cd")
        reserved(Firmness.HELD, client_hash="ab")
        reserved(client_hash="ab", released_at=NOW)
        stock = queries.stock(seen, "ab", besides=ours[0].pk)
        assert (stock.unpaid, stock.unpaid_of_client) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_who_sells_and_who_folds_at_once_lose_nothing() -> None:
    """Eight who change what is reserved, beside two who fold, as fast as they can."""
    ids = [reserved().pk for _ in range(8)]
    ended = threading.Event()

    def changes(order_id: Any) -> None:
        rows = Reservation.objects.filter(pk=order_id)
        for number in range(30):
            with transaction.atomic():
                rows.update(firmness=(Firmness.HELD, Firmness.QUOTED)[number % 2], value_sat=number + 1)
                transaction.set_rollback(number % 5 == 4)
        connection.close()

    def folds() -> None:
        while not ended.is_set():
            fold(201)
            assert sums_astray() == []
        connection.close()

    busy = [threading.Thread(target=changes, args=(each,)) for each in ids]
    folding = [threading.Thread(target=folds) for _ in range(2)]
    for thread in [*busy, *folding]:
        thread.start()
    for thread in busy:
        thread.join()
    ended.set()
    for thread in folding:
        thread.join()
    assert sums_astray() == []
