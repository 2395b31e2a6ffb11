"""What we earn is what books, journal and the node's forwards come to, worked out one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from orders import figures
from orders.figures import Parts, Period
from orders.models import Leg, OrderEarned, RollUp, StaleOrder
from orders.rollups import days, earned
from tests.integration import naive_earnings as naive
from tests.integration.earned_history import ELSEWHERE, History
from tests.integration.earned_told import PPM, assert_days, assert_told, made, periods

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", params=["reckoned", "kept", "kept up to a day", "kept but for some"])
def shop(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[History]:
    """Two years of five hundred orders, for all tests of this file: none of them changes any.

    However many of them are kept, what is told is the same.
    """
    with django_db_blocker.unblock(), transaction.atomic(), override_settings(CAPITAL_COST_PPM=PPM):
        history = made(11, 500, 2_000)
        if request.param != "reckoned":
            keep_earned(history.now - timedelta(days=200) if request.param == "kept up to a day" else None)
        if request.param == "kept but for some":
            orders = OrderEarned.objects.order_by("order_id").values_list("order_id", flat=True)[::3]
            StaleOrder.objects.bulk_create(StaleOrder(order_id=order) for order in orders)
        yield history
        transaction.set_rollback(True)


def keep_earned(until: datetime | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if until:
            patch.setattr(earned.timezone, "now", lambda: until)
        earned.keep(float("inf"))
    assert OrderEarned.objects.filter(is_over=True).count() > 50


@pytest.fixture
def history(shop: History, db: None, settings: Any) -> History:
    settings.CAPITAL_COST_PPM = PPM
    return shop


def test_each_channel_and_the_sum_are_as_books_and_forwards_have_them_one_by_one(history: History) -> None:
    for period in periods(history.now):
        assert_told(history, period)


def test_the_sale_fees_are_what_the_journal_says_was_delivered_and_paid(history: History) -> None:
    for period in periods(history.now):
        told = figures.earnings(period, history.now)
        assert told.total.sale_fees_msat == naive.fees_of_journal(period, history.now) * 1000
    assert figures.earnings(periods(history.now)[0], history.now).total.sale_fees_msat > 0


def test_all_together_is_what_the_books_have_more_but_for_what_was_given_and_is_not_paid_for_yet(
    history: History,
) -> None:
    """Where our money is, less what of it is somebody else's: counted by the other half of the accounts."""
    told = figures.earnings(periods(history.now)[0], history.now)
    where = ["wallet", "lightning", "channels", "buyers_held", "buyers_onchain", "refunds_under_way", "kept"]
    worth = sum(Leg.objects.filter(account__in=where).values_list("amount_msat", flat=True))
    assert told.total.booked_msat + told.unpaid_msat == worth
    assert told.unpaid_msat < 0, "there are channels whose payment is held still"


def test_every_part_has_something_in_it(history: History) -> None:
    told = figures.earnings(periods(history.now)[0], history.now)
    assert all(getattr(told.total, name) for name in Parts.__dataclass_fields__)
    assert told.total.refund_cost_msat == told.total.refund_borne_msat


def test_a_forward_between_two_channels_that_were_sold_counts_once_and_one_between_others_never(
    history: History,
) -> None:
    whole = periods(history.now)[0]
    every = sum(each.in_msat - each.out_msat for each in history.forwards)
    elsewhere = sum(
        each.in_msat - each.out_msat
        for each in history.forwards
        if each.channel_in in ELSEWHERE and each.channel_out in ELSEWHERE
    )
    assert elsewhere > 0
    assert figures.earnings(whole, history.now).total.routing_msat == every - elsewhere
    assert sum(day.fee_msat for day in figures.routing_by_day(whole)) == every - elsewhere


@pytest.mark.parametrize("order_by", figures.earning.ORDERS)
@pytest.mark.parametrize("descending", [True, False])
def test_the_list_is_in_the_order_that_is_asked_for_page_by_page(
    history: History, order_by: str, descending: bool
) -> None:
    whole = periods(history.now)[0]
    told = figures.earnings(whole, history.now, order_by=order_by, descending=descending, limit=1_000)
    keys = [_key(order_by, each) for each in told.rows]
    known = [key for key in keys if key is not None]
    assert known == sorted(known, reverse=descending) and keys[: len(known)] == known
    second = figures.earnings(whole, history.now, order_by=order_by, descending=descending, limit=7, offset=7)
    assert second.rows == told.rows[7:14]


def _key(order_by: str, each: figures.ChannelEarned) -> Any:
    parts = each.parts
    return {
        "profit": parts.profit_msat,
        "yearly": parts.yearly_ppm,
        "sale": parts.sale_fees_msat,
        "routing": parts.routing_msat,
        "costs": parts.costs_msat,
        "capital": parts.capital_cost_msat,
        "bound": parts.bound_msat_seconds,
        "capacity": each.capacity_sat,
        "opened": each.opened_at,
    }[order_by]


def test_the_best_and_the_worst_are_those_with_most_and_least_profit(history: History) -> None:
    told = figures.earnings(periods(history.now)[0], history.now, order_by="opened", limit=1_000, most=4)
    by_profit = sorted(told.rows, key=lambda each: (each.parts.profit_msat, each.order_id))
    assert [each.parts.profit_msat for each in told.worst] == [each.parts.profit_msat for each in by_profit[:4]]
    assert [each.parts.profit_msat for each in told.best] == [each.parts.profit_msat for each in by_profit[:-5:-1]]


def test_all_channels_can_be_had_one_after_the_other(history: History) -> None:
    whole = periods(history.now)[0]
    assert tuple(figures.channels_earned(whole, history.now)) == figures.earnings(whole, history.now, limit=9_999).rows


def test_the_days_are_as_the_books_have_them_and_none_is_left_out(history: History) -> None:
    assert_days(history, Period(history.now - timedelta(days=40), history.now))


def test_days_that_were_added_up_are_as_the_books_have_them(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    period = Period(history.now - timedelta(days=60), history.now)
    before = figures.earned_by_day(Period(history.now - timedelta(days=900), history.now), history.now)
    monkeypatch.setattr(days.timezone, "now", lambda: history.now - timedelta(days=10))
    days.add_up(RollUp(name="money").name)  # type: ignore[arg-type]
    assert RollUp.objects.get(name="money").through == (history.now - timedelta(days=11)).date()
    assert_days(history, period)
    after = figures.earned_by_day(Period(history.now - timedelta(days=900), history.now), history.now)
    assert after == before
    assert figures.earned_ever(history.now).profit_msat == sum((d.parts for d in before), Parts()).profit_msat + (
        sum(d.parts.capital_cost_msat for d in before) - figures.earned_ever(history.now).capital_cost_msat
    )


def test_the_sum_of_all_days_is_the_sum_of_all_channels_and_what_is_of_none(history: History) -> None:
    whole = periods(history.now)[0]
    ever, told = figures.earned_ever(history.now), figures.earnings(whole, history.now).total
    for name in Parts.__dataclass_fields__:
        if name not in {"bound_msat_seconds", "capital_cost_msat"}:  # rounded down, of each day and of each channel
            assert getattr(ever, name) == getattr(told, name), name
    assert abs(ever.bound_msat_seconds - told.bound_msat_seconds) <= 2_000


def test_the_number_of_statements_is_the_same_for_any_number_of_orders(history: History) -> None:
    whole, now = periods(history.now)[0], history.now
    for figure, most in (
        (lambda: figures.earnings(whole, now, limit=10), 4),
        (lambda: figures.earned_by_day(whole, now), 2),
        (lambda: figures.earned_ever(now), 2),
        (lambda: figures.routing_by_day(whole), 1),
        (lambda: figures.stock_by_day(whole), 1),
        (lambda: figures.uptime_by_day(whole), 1),
    ):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            figure()
        assert len(asked) <= most


def test_capital_costs_nothing_where_nobody_has_said_so_and_earns_by_the_year(history: History, settings: Any) -> None:
    settings.CAPITAL_COST_PPM = 0
    total = figures.earnings(periods(history.now)[0], history.now).total
    assert total.capital_cost_msat == 0
    assert total.yearly_ppm == total.profit_msat * 1_000_000 * 31_536_000 // total.bound_msat_seconds
    assert Parts(sale_fees_msat=5).yearly_ppm is None, "nothing was bound"
