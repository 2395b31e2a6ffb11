"""How clients stand: whose payments have lately come to nothing, and who has paid for how many orders."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders.admission import standing
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
    return asked in (of := standing.of([asked], now)) and of[asked].is_suspect


def paid(client: str = CLIENT) -> int:
    now, asked = timezone.now(), order(client, firmness=Firmness.HELD)
    return standing.of([asked], now)[asked].paid


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
    assert standing.of([own], timezone.now())[own] == (CLIENT, 0, False)


@pytest.mark.parametrize("firmness", sorted(set(Firmness) - {Firmness.QUOTED}))
def test_what_a_client_has_paid_for_counts_while_it_lives_and_within_the_hour(firmness: Firmness) -> None:
    order(firmness=firmness)
    order(firmness=firmness, released_at=timezone.now() + AGO)
    order(firmness=firmness, released_at=timezone.now() - timedelta(hours=2))
    order("d" * 64, firmness=firmness)
    assert paid() == 2


def test_what_nobody_has_paid_for_counts_for_nothing() -> None:
    order(firmness=Firmness.QUOTED)
    assert paid() == 0


def test_no_plan_reads_all_that_was_ever_reserved() -> None:
    """Quotes leave a row each for ever, and this is asked before each batch of looks."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as asked:
            standing.of([uuid4()], timezone.now())
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "reservation_client" in plan and "Seq Scan" not in plan, plan
