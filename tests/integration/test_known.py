"""Rows that are read by their key with a statement that is written once: what Django would have read."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.db.models import Exists, OuterRef
from django.test.utils import CaptureQueriesContext

from orders import reading
from orders.errors import OrderNotFound
from orders.journal import locked
from orders.models import ChannelOpening, ChannelOrder
from orders.postgres.known import ByKey
from tests.factories import DepositFactory, OpeningFactory, OrderFactory

pytestmark = pytest.mark.django_db


def columns(row: Any) -> dict[str, Any]:
    """What was read of a row, and nothing that is read when it is asked for."""
    deferred = row.get_deferred_fields()
    return {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if f.attname not in deferred}


@pytest.fixture
def order() -> ChannelOrder:
    return OpeningFactory().order


def test_an_order_is_read_as_django_reads_it(order: ChannelOrder) -> None:
    known, anew = reading.order_or_raise(order.pk), reading.orders_with_details().get(pk=order.pk)
    assert known is not anew and columns(known) == columns(anew)
    for name in ("hold_invoice", "reservation", "service", "lsp_node"):
        assert columns(getattr(known, name)) == columns(getattr(anew, name))
    assert known.has_openings and not known.has_onchain_payments
    assert [columns(each) for each in known.openings.all()] == [columns(each) for each in anew.openings.all()] != []
    (opening,) = known.openings.all()
    assert opening.order is known and columns(opening.transaction) == columns(anew.openings.all()[0].transaction)
    assert known.live_opening == anew.live_opening
    assert not known._state.adding and known._state.db == "default"


def test_all_that_belongs_to_it_is_there_in_one_statement() -> None:
    order = OrderFactory()
    reading.order_or_raise(order.pk)
    with CaptureQueriesContext(connection) as asked:
        known = reading.order_or_raise(order.pk)
        assert known.hold_invoice.order_id == known.reservation.order_id == known.pk
        assert known.service.pk == order.service_id and known.lsp_node.pk == order.lsp_node_id
    assert len(asked) == 1


def test_lists_are_read_in_one_statement_each(order: ChannelOrder) -> None:
    DepositFactory(order=order)
    reading.order_or_raise(order.pk)
    with CaptureQueriesContext(connection) as asked:
        known = reading.order_or_raise(order.pk)
        assert [each.order_id for each in (*known.openings.all(), *known.onchain_payments.all())] == [order.pk] * 2
        assert all(each.transaction for each in known.openings.all())
    assert len(asked) == 3


def test_what_is_not_there_is_none_and_each_key_has_its_own_row() -> None:
    rows, orders = ByKey(ChannelOrder.objects.all), [OrderFactory(), OrderFactory()]
    assert rows.get(uuid4()) is None
    assert [rows.get(each.pk) for each in orders] == orders
    with pytest.raises(OrderNotFound):
        reading.order_or_raise(uuid4())


def test_a_row_is_read_anew_each_time(order: ChannelOrder) -> None:
    rows = ByKey(ChannelOrder.objects.all)
    assert rows.get(order.pk) is not None
    ChannelOrder.objects.filter(pk=order.pk).update(created_height=77)
    changed = rows.get(order.pk)
    assert changed is not None and changed.created_height == 77


def test_what_is_annotated_with_a_parameter_of_its_own_is_read(order: ChannelOrder) -> None:
    openings = ChannelOpening.objects.filter(order=OuterRef("pk"), attempt=1)
    found = ByKey(lambda: ChannelOrder.objects.annotate(was_tried=Exists(openings))).get(order.pk)
    assert found is not None and found.was_tried is True  # type: ignore[attr-defined]


def test_the_statement_is_written_once(order: ChannelOrder) -> None:
    asked: list[int] = []

    def rows() -> Any:
        asked.append(1)
        return ChannelOrder.objects.all()

    known = ByKey(rows)
    assert [known.get(order.pk), known.get(order.pk)] == [order, order]
    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_who_holds_the_row_keeps_others_from_it(order: ChannelOrder) -> None:
    other = connections["default"].copy()
    try:
        with locked(order.pk), other.cursor() as cursor:
            cursor.execute("SELECT id FROM orders_channelorder WHERE id = %s FOR UPDATE SKIP LOCKED", [order.pk])
            assert cursor.fetchall() == []
    finally:
        other.close()
