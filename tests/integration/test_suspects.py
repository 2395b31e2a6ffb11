"""Whose payments have lately come to nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders.admission import suspects
from orders.models import Reservation
from orders.states import Firmness
from tests.factories import OrderFactory

pytestmark = pytest.mark.django_db

CLIENT = "c" * 64
AGO, TO_COME = timedelta(minutes=-1), timedelta(minutes=1)


def order(client: str = CLIENT, **reservation: Any) -> Any:
    made = OrderFactory(uri_set=True)
    Reservation.objects.filter(order=made).update(client_hash=client, **reservation)
    return made.pk


def is_suspect(client: str = CLIENT) -> bool:
    now, asked = timezone.now(), order(client, firmness=Firmness.HELD, until=timezone.now() + TO_COME)
    return suspects.among([asked], now) == {asked}


@pytest.mark.parametrize("firmness", [Firmness.HELD, Firmness.WAITING])
def test_whose_payment_went_back_within_the_hour_is_one(firmness: Firmness) -> None:
    order(firmness=firmness, released_at=timezone.now() + AGO)
    assert is_suspect() and not is_suspect("d" * 64)


def test_whose_payment_had_its_time_unclaimed_or_with_a_node_that_failed_is_one() -> None:
    order(firmness=Firmness.HELD, until=timezone.now() + AGO)
    assert is_suspect()


@pytest.mark.parametrize(
    "reservation",
    [
        {"firmness": Firmness.HELD, "until": timezone.now() + timedelta(days=1)},  # within its time
        {"firmness": Firmness.HELD, "released_at": timezone.now() - timedelta(hours=2)},
        {"firmness": Firmness.FIRM, "released_at": timezone.now()},  # delivered
        {"firmness": Firmness.QUOTED, "released_at": timezone.now()},  # never paid
        {"firmness": Firmness.REACHED, "until": timezone.now() + AGO},
    ],
    ids=["within-its-time", "long-ago", "delivered", "unpaid", "reached"],
)
def test_who_bought_or_has_his_time_is_none(reservation: dict[str, Any]) -> None:
    order(**reservation)
    assert not is_suspect()


def test_where_an_address_means_nothing_nobody_is() -> None:
    order("", firmness=Firmness.HELD, released_at=timezone.now() + AGO)
    assert not is_suspect("")


def test_an_orders_own_payment_makes_nobody_one() -> None:
    own = order(firmness=Firmness.HELD, until=timezone.now() + AGO)
    assert suspects.among([own], timezone.now()) == set()


def test_no_plan_reads_all_that_was_ever_reserved() -> None:
    """Quotes leave a row each for ever, and this is asked before each batch of looks."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as asked:
            suspects.among([uuid4()], timezone.now())
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "reservation_client" in plan and "Seq Scan" not in plan, plan
