"""Lists of very many rows: counted up to a bound, estimated beyond it, and all of it can be reached."""

from __future__ import annotations

import pytest
from django.core.paginator import InvalidPage
from django.db import connection
from django.test import Client

from orders.admin import counting
from orders.admin.counting import Estimating
from orders.models import ChannelOrder
from tests.bench.statements import Statement, noted
from tests.factories import OrderFactory
from tests.integration.staff import LIST, seen

pytestmark = pytest.mark.django_db


@pytest.fixture
def few_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 3)


def pages(count: int) -> Estimating:
    OrderFactory.create_batch(count)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orders_channelorder")
    return Estimating(ChannelOrder.objects.all(), 2)


def test_up_to_the_bound_a_list_is_counted(few_are_counted: None) -> None:
    paginator = pages(3)
    assert (paginator.count, paginator.is_estimated, paginator.num_pages) == (3, False, 2)
    with pytest.raises(InvalidPage):
        paginator.page(3)


def test_beyond_it_the_database_estimates_and_every_page_is_there(few_are_counted: None) -> None:
    paginator = pages(9)
    assert paginator.is_estimated and 4 <= paginator.count <= 20
    assert len(paginator.page(5).object_list) == 1 and len(paginator.page(500).object_list) == 0
    with pytest.raises(InvalidPage):
        paginator.page(0)


def test_no_more_rows_are_counted_than_the_bound_says(few_are_counted: None) -> None:
    paginator, asked = pages(9), list[Statement]()
    with noted(asked):
        assert paginator.count
    assert "LIMIT 4" in asked[0].sql and all(each.sql.startswith("EXPLAIN") for each in asked[1:])


def test_staff_are_told_that_it_is_an_estimate(boss: Client, few_are_counted: None) -> None:
    OrderFactory()
    assert "about" not in seen(boss.get(f"{LIST}?all="))
    pages(9)
    assert "about" in seen(boss.get(f"{LIST}?all="))


def test_estimates_have_two_digits(monkeypatch: pytest.MonkeyPatch, few_are_counted: None) -> None:
    rows = ChannelOrder.objects.none
    for told, count in ((998_765, 1_000_000), (123_456, 120_000), (12, 12)):
        plan = f'[{{"Plan": {{"Plan Rows": {told}}}}}]'
        fake = type("Rows", (), {"order_by": lambda self: self, "explain": lambda self, format, plan=plan: plan})
        assert counting._estimated(fake()) == count, rows  # type: ignore[arg-type]


def test_rows_behind_a_low_estimate_are_shown(few_are_counted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    paginator = pages(9)
    monkeypatch.setattr(counting, "_estimated", lambda rows: 5)
    assert paginator.count == 5 and len(paginator.page(4).object_list) == 2
