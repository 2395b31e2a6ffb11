"""What staff read of what we earn: the page, its list, and the table to take away."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders import figures
from orders.admin.earnings import PER_PAGE, msat, percent
from orders.figures import Parts, Period
from orders.ids import short
from orders.models import BooksCheck, ChannelOrder
from tests import booking
from tests.factories import OrderFactory
from tests.integration.earned_history import History, happen
from tests.integration.staff import browser, seen, staff

pytestmark = pytest.mark.django_db

PAGE = "/admin/orders/channelorder/earnings/"
TABLE = "/admin/orders/channelorder/earnings.csv"


@pytest.fixture
def history(db: None) -> History:
    """A hundred orders of half a year, up to now."""
    return happen(3, 120, days=180, now=timezone.now().astimezone(UTC) - timedelta(minutes=1))


@pytest.fixture
def viewer(db: None) -> Client:
    return browser(staff("vera", "view_channelorder"))


def ever(now: datetime) -> Period:
    return Period(now - timedelta(days=200), now)


EVER = {"from": "2009-01-03", "to": timezone.now().date().isoformat()}


def test_the_page_has_the_sum_with_its_parts_and_what_of_it_is_of_no_channel(history: History, viewer: Client) -> None:
    told, text = figures.earnings(ever(history.now), timezone.now()), seen(viewer.get(PAGE, EVER))
    for part in ("sale_fees_msat", "profit_msat"):
        whole, beside = getattr(told.total, part), getattr(told.beside, part)
        assert f"{msat(whole)} {msat(whole - beside)} {msat(beside)}" in text
    assert f"All channels: {told.channels}" in text
    assert f"{msat(-told.unpaid_msat)} sat given to buyers with channels that are not paid for yet" in text


@pytest.mark.parametrize("adds_up", [True, False, None])
def test_books_that_did_not_add_up_are_told_beside_what_rests_on_them(viewer: Client, adds_up: bool | None) -> None:
    if adds_up is not None:
        BooksCheck.objects.create(at=timezone.now() - timedelta(days=1), adds_up=not adds_up, words="an older look")
        check = BooksCheck.objects.create(at=timezone.now(), adds_up=adds_up, words="x")
    page = viewer.get(PAGE).content.decode()
    assert ("did not add up" in page) is (adds_up is False)
    assert adds_up is not False or f"/admin/orders/bookscheck/{check.pk}/change/" in page


def test_the_list_is_ordered_and_paged_by_its_address(history: History, viewer: Client) -> None:
    told = figures.earnings(ever(history.now), timezone.now(), order_by="sale", descending=False, limit=1_000)
    assert told.channels > PER_PAGE
    second = viewer.get(PAGE, {**EVER, "o": "sale", "way": "asc", "p": 2})
    assert [row[1] for row in second.context["rows"]] == [each.short_channel_id for each in told.rows[PER_PAGE:]]
    assert "page 2 of 2" in seen(second)
    assert 'aria-sort="ascending"' in second.content.decode()


def test_the_best_and_the_worst_are_shown(history: History, viewer: Client) -> None:
    told = figures.earnings(ever(history.now), timezone.now())
    lists = dict(viewer.get(PAGE, EVER).context["lists"])
    assert [row[1] for row in lists["The best"]] == [each.short_channel_id for each in told.best]
    assert [row[1] for row in lists["The worst"]] == [each.short_channel_id for each in told.worst]


def test_channels_that_have_earned_the_same_are_in_neither_list(viewer: Client, settings: Any) -> None:
    settings.CAPITAL_COST_PPM = 0
    for _ in range(12):
        OrderFactory(open=True)
    booking.carry()
    answer = viewer.get(PAGE, EVER)
    told = seen(answer)
    [profit] = {row[-2] for row in answer.context["rows"]}
    assert answer.context["lists"] == []
    assert f"All 12 channels have earned the same, {profit} sat each." in told


def test_the_table_has_every_channel_to_the_millisatoshi_and_no_whole_id(history: History, viewer: Client) -> None:
    answer = viewer.get(TABLE, EVER)
    assert answer.streaming and answer["Content-Type"].startswith("text/csv")
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(text)))
    told = {short(each.order_id): each for each in figures.channels_earned(ever(history.now), timezone.now())}
    assert {line["order"] for line in lines} == told.keys()
    for line in lines:
        each = told[line["order"]]
        assert int(line["sale_fees_msat"]) == each.parts.sale_fees_msat
        assert int(line["capacity_sat"]) == each.capacity_sat
        assert int(line["close_cost_msat"]) == each.parts.close_cost_msat
    assert not any(str(order.pk) in text for order in ChannelOrder.objects.all())


@pytest.mark.parametrize("address", [PAGE, TABLE])
def test_who_may_not_look_at_orders_is_told_nothing(address: str, db: None) -> None:
    assert browser(staff("otto", "view_service")).get(address).status_code == 403
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize("address", [PAGE, TABLE])
def test_nothing_can_be_posted(address: str, viewer: Client) -> None:
    assert viewer.post(address).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "yesterday"},
        {"from": "0001-01-01"},
        {"to": "9999-12-31"},
        {"o": "password"},
        {"p": "0"},
        {"p": "99999999999999999999"},
        {"way": "; DROP TABLE orders_leg"},
    ],
)
def test_an_address_that_says_nothing_is_answered_with_the_last_thirty_days(query: Any, viewer: Client) -> None:
    answer = viewer.get(PAGE, query)
    assert "What follows is of the last thirty days." in seen(answer)
    assert viewer.get(TABLE, query).status_code == 400


def test_a_day_that_is_still_to_come_and_a_page_that_is_not_there_are_no_error(viewer: Client) -> None:
    assert "No channel that was sold" in seen(viewer.get(PAGE, {"from": "2009-01-03", "to": "2999-12-31", "p": 77}))


def test_a_shop_that_has_sold_nothing_has_a_page(viewer: Client) -> None:
    assert "All channels: 0" in seen(viewer.get(PAGE))


def test_the_page_asks_the_database_as_often_for_any_number_of_channels(history: History, viewer: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        viewer.get(PAGE, EVER)
    assert len([each for each in asked if "orders_" in each["sql"]]) == 4


def test_the_first_page_leads_there(viewer: Client) -> None:
    assert PAGE in viewer.get("/admin/").content.decode()


def test_amounts_and_shares_are_written_as_people_read_them() -> None:
    assert [msat(each) for each in (0, 1_234_567_000, 1, -2_500, -3_000)] == ["0", "1,234,567", "0.001", "−2.500", "−3"]
    assert [percent(each) for each in (None, 0, 45_000, 123, -45_678, 99)] == [
        "–", "0.00 %", "4.50 %", "0.01 %", "−4.56 %", "0.00 %",
    ]  # fmt: skip
    assert Parts().profit_msat == 0
