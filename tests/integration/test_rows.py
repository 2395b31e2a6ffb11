"""What a purchase writes and reads by statements of its own is what Django would write and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from orders import queries, standing
from orders.causes import Cause
from orders.models import (
    ChannelOrder,
    HoldInvoice,
    Node,
    NodeSnapshot,
    OrderEvent,
    Reservation,
    Service,
    Switch,
    SwitchName,
)
from orders.nudges import NEW
from orders.postgres import rows, session
from orders.postgres.line import line
from orders.postgres.rows import Call
from orders.reservations import quoted
from orders.states import OrderState
from streams import standby
from tests.factories import OrderFactory, ServiceFactory, SnapshotFactory

pytestmark = pytest.mark.django_db

WRITTEN: tuple[type[Model], ...] = (ChannelOrder, HoldInvoice, Reservation, OrderEvent)
#: What each of two orders has of its own.
OWN = {"id", "order_id", "deposit_address", "payment_hash"}
ODD = "%s $1 ' \" \\ { } \n ü \u2028"


def made(number: int, **fields: Any) -> list[Any]:
    """The rows of an order that comes to be, not written yet."""
    order = OrderFactory.build(
        id=UUID(int=number), lsp_node=Node.objects.get(), service=Service.objects.get(), state=OrderState.CREATED,
        token=ODD, deposit_address=f"bcrt1q{number}", warnings=[{"message": ODD, "is_sure": True, "works": None}],
        announced_by_purchase=None, expires_at=timezone.now(), **fields,
    )  # fmt: skip
    invoice = HoldInvoice(order=order, payment_hash=f"{number:064}", payment_request=ODD, add_index=2**40, amount_sat=1)
    event = OrderEvent(
        order=order, version=1, at=order.created_at, actor=ODD, cause=Cause.QUOTED, to_state=order.state,
        facts={"said": ODD, "nested": [1, None]},
    )  # fmt: skip
    return [order, invoice, quoted(order), event]


def stored(number: int) -> list[dict[str, Any]]:
    found = [ChannelOrder.objects.filter(pk=UUID(int=number))]
    found += [model.objects.filter(order=UUID(int=number)) for model in WRITTEN[1:]]  # type: ignore[attr-defined]
    return [{name: value for name, value in each.values().get().items() if name not in OWN} for each in found]


@pytest.fixture
def shop() -> NodeSnapshot:
    Service.objects.all().delete()  # the one that every shop begins with, where no test has flushed it
    ServiceFactory()
    return SnapshotFactory()


@pytest.mark.parametrize("said", [True, False, None])
def test_rows_written_together_are_as_django_writes_them(shop: NodeSnapshot, said: bool | None) -> None:
    together = made(1, created_at=timezone.now(), announced_by_claim=said, created_height=7)
    rows.insert(*together, calls=[Call("pg_notify", (NEW, "1"))])
    one_by_one = made(2, created_at=together[0].created_at, announced_by_claim=said, created_height=7)
    for row, before in zip(one_by_one, together, strict=True):
        for name in ("expires_at", "until"):
            if hasattr(row, name):
                setattr(row, name, getattr(before, name))
        row.save(force_insert=True)
    assert stored(1) == stored(2)
    assert not any(row._state.adding for row in together)


def test_of_rows_written_together_all_are_there_or_none(shop: NodeSnapshot) -> None:
    rows.insert(*made(1), calls=[Call("pg_notify", (NEW, "1"))])
    order, invoice, *others = made(2)
    invoice.payment_hash = f"{1:064}"
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert(order, invoice, *others, calls=[Call("pg_notify", (NEW, "2"))])
    assert [model.objects.count() for model in WRITTEN] == [1] * 4  # type: ignore[attr-defined]


def test_nothing_of_these_rows_is_filled_in_by_django_or_the_database() -> None:
    """Else a row that is written together would lack it."""
    for field in (field for model in WRITTEN for field in model._meta.concrete_fields):
        assert not getattr(field, "auto_now", False) and not getattr(field, "auto_now_add", False)
        assert not field.has_db_default() and not field.generated


def test_what_is_asked_over_and_over_is_planned_once(shop: NodeSnapshot) -> None:
    for _ in range(3):
        queries.stock(shop, "somebody")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(generic_plans + custom_plans) FROM pg_prepared_statements "
                       "WHERE statement LIKE '%FROM orders_reserved%'")  # fmt: skip
        assert cursor.fetchone() == (1, 3)


def test_what_another_client_of_a_pooler_has_prepared_is_gone() -> None:
    with psycopg.connect(**standby.database(), autocommit=True) as lent:
        lent.execute("PREPARE _pg3_0 AS SELECT 1")
        session.prepare(lent)
        lent.prepare_threshold = 0
        assert lent.execute("SELECT 2", prepare=True).fetchone() == (2,)


def test_control_else_its_names_are_taken() -> None:
    with psycopg.connect(**standby.database(), autocommit=True) as lent:
        lent.execute("PREPARE _pg3_0 AS SELECT 1")
        lent.prepare_threshold = 0
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            lent.execute("SELECT 2", prepare=True)


# What stands


def sales_stop() -> None:
    Switch.objects.create(name=SwitchName.SALES, on=False, reason="a test", at=timezone.now(), actor="staff")


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[standing.Standing], Any]]] = {
    "a switch": (sales_stop, lambda stands: stands.paused(SwitchName.SALES)),
    "a price": (
        lambda: Service.objects.update(base_fee_sat=77),
        lambda stands: stands.services[0].base_fee_sat == 77,
    ),
    "what is on sale": (lambda: Service.objects.update(on_sale=False), lambda stands: not stands.services),
    "another service": (lambda: ServiceFactory(position=5), lambda stands: len(stands.services) == 2),
    "the node's coins": (
        lambda: NodeSnapshot.objects.update(spendable_sat=5),
        lambda stands: stands.seen.spendable_sat == 5,
    ),
    "that we are behind": (
        lambda: NodeSnapshot.objects.update(behind_until=timezone.now()),
        lambda stands: stands.seen.behind_until is not None,
    ),
    "the node's key": (lambda: Node.objects.update(pubkey="03"), lambda stands: stands.seen.node.pubkey == "03"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_written_since_is_read_by_the_next_purchase(shop: NodeSnapshot, change: str) -> None:
    write, is_seen = CHANGES[change]
    assert not is_seen(standing.read())
    write()
    assert is_seen(standing.read())
    assert is_seen(standing.read())


def test_control_whose_version_nobody_asks_is_not(shop: NodeSnapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    standing.read()
    kept = line().kept["standing"]
    monkeypatch.setattr(standing, "_asked", lambda seen, client, besides: (kept.versions, queries.stock(seen, client)))
    sales_stop()
    assert not standing.read().paused(SwitchName.SALES)


def test_what_nobody_has_written_is_not_read_again(
    shop: NodeSnapshot, django_assert_num_queries: Callable[[int], Any]
) -> None:
    before = standing.read("somebody")
    with django_assert_num_queries(1):
        after = standing.read("somebody")
    assert after.seen is before.seen and after.stock == before.stock


def test_a_service_that_was_taken_off_sale_is_none_that_is_meant(shop: NodeSnapshot) -> None:
    other = ServiceFactory(position=5)
    stands = standing.read()
    assert stands.service(other.pk).pk == other.pk  # type: ignore[union-attr]
    assert stands.service(None).position == 0  # type: ignore[union-attr]
    Service.objects.filter(pk=other.pk).update(on_sale=False)
    assert standing.read().service(other.pk) is None


def test_a_node_that_was_never_seen_is_found_when_it_is() -> None:
    assert standing.read().seen is None
    SnapshotFactory()
    assert standing.read().seen is not None


@pytest.mark.django_db(transaction=True)
def test_another_connection_reads_for_itself(shop: NodeSnapshot) -> None:
    standing.read()
    assert line().kept
    connection.close()
    connection.ensure_connection()
    assert not line().kept
