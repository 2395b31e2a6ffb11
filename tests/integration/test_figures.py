"""The figures say what a recount order by order says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from orders import figures, queries
from orders.figures import Period, Step
from orders.figures.waiting import cell
from orders.management.commands import figures as command
from orders.models import ChannelOrder, DayFigure, NodeSnapshot, StaleDay
from orders.models.order import Door
from orders.rollups import tallies
from orders.states import Firmness, OrderState
from tests.integration import naive
from tests.integration.history import LIVES, happen

pytestmark = pytest.mark.django_db

ORDERS = 10 * len(LIVES)


@pytest.fixture(scope="module", params=["counted", "kept", "kept but for some days"])
def history(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[datetime]:
    """Some two hundred orders have been, for all tests of this file: none of them changes any.

    However many of their days are kept, the figures are the same.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        now = happen(20, ORDERS)
        come_by_every_door()
        if request.param != "counted":
            tallies.keep()
            assert DayFigure.objects.exists()
        if request.param == "kept but for some days":
            days = list(DayFigure.objects.values_list("day", flat=True).distinct())[::3]
            DayFigure.objects.filter(day__in=days).update(sums=[-1] * 6)
            StaleDay.objects.bulk_create(StaleDay(day=day) for day in days)
        yield now
        transaction.set_rollback(True)


def come_by_every_door() -> None:
    """One in two by LSPS1; of these one in two says which wallet it is."""
    for number, order in enumerate(ChannelOrder.objects.order_by("created_at", "pk")):
        others = (Door.LSPS1_REST, Door.LSPS1_BOLT8, Door.LSPS1_REST, Door.LSPS2)
        door = others[number // 2 % 4] if number % 2 else Door.V1
        token = f"AlbyHub/1.{number % 48}" if number % 8 in {1, 3, 5} else None
        ChannelOrder.objects.filter(pk=order.pk).update(door=door, token=token if door.speaks_lsps1 else "")


@pytest.fixture
def now(history: datetime, db: None) -> datetime:
    """The moment at which they are counted."""
    return history


def periods(now: datetime) -> list[Period]:
    """All of it, a part whose bounds are moments of orders, and one in which nothing was."""
    first, last = ChannelOrder.objects.order_by("created_at")[20], ChannelOrder.objects.order_by("-created_at")[30]
    opened = ChannelOrder.objects.exclude(opened_at=None).order_by("opened_at")
    return [
        Period(now - timedelta(days=400), now),
        Period(first.created_at, last.created_at),
        Period(opened[5].opened_at, opened[25].opened_at),  # type: ignore[arg-type]
        Period(now, now),
    ]


def test_every_order_is_counted_in_its_state_with_the_size_of_its_channel(now: datetime) -> None:
    told = {s.state: (s.orders, s.capacity_sat) for s in figures.by_state()}
    assert told == {state: naive.by_state().get(state, (0, 0)) for state in OrderState}
    assert sum(orders for orders, _ in told.values()) == ChannelOrder.objects.count() >= ORDERS


def test_the_order_that_is_in_a_state_for_longest_is_found_whatever_was_journalled_since(now: datetime) -> None:
    told = figures.oldest(now)
    assert {each.state: each.since for each in told} == naive.oldest()
    assert len(told) == 6
    assert all(each.age_seconds == int((now - each.since).total_seconds()) for each in told)


def test_the_funnel_counts_each_order_once_and_says_why_it_was_lost(now: datetime) -> None:
    for period in periods(now):
        told, wanted = figures.funnel(period), naive.funnel(period)
        assert [told.reached(step) for step in Step] == wanted["reached"]
        assert {(each.after, each.why): each.orders for each in told.lost} == wanted["lost"]
        assert {(each.after, each.why): each.orders for each in told.under_way} == wanted["under_way"]
        over = sum(each.orders for each in (*told.lost, *told.under_way))
        assert told.quoted == told.open + over


def test_what_was_lost_has_a_reason_that_tells_something(now: datetime) -> None:
    lost = {(each.after, each.why) for each in figures.funnel(periods(now)[0]).lost}
    assert {
        (Step.QUOTED, "expired"),
        (Step.QUOTED, "outpriced"),
        (Step.QUOTED, "COINS_PROMISED_ELSEWHERE"),
        (Step.PAID, "never_claimed"),
        (Step.PAID, "cancelled"),
        (Step.CLAIMED, "PEER_NOT_REACHABLE"),
        (Step.CLAIMED, "FAILED_OPENING"),
        (Step.CLAIMED, "channel_closed"),
    } <= lost
    assert not any(why in {"refund_mined", "unknown", ""} for _, why in lost)


def test_attempts_are_counted_by_how_they_ended(now: datetime) -> None:
    for period in (*periods(now), None):
        told, wanted = figures.openings(period), naive.openings(period)
        assert (told.begun, told.confirmed) == (wanted["begun"], wanted["confirmed"])
        assert dict(told.failures) == wanted["failures"] and told.failed == sum(wanted["failures"].values())
        assert told.under_way == told.begun - told.confirmed - told.failed
        over = told.confirmed + told.failed
        assert told.success == (told.confirmed / over if over else None)


def test_the_waits_are_those_of_half_and_of_all_but_five_in_a_hundred(now: datetime) -> None:
    for period in periods(now):
        waited = naive.waited(period)
        told = figures.waits(period)
        assert told.orders == len(waited)
        wanted = [naive.percentile(waited, part) for part in (0.5, 0.95)]
        assert [told.p50_seconds, told.p95_seconds] == [wait and cell(wait) for wait in wanted]


def test_the_histogram_has_every_wait_in_each_bucket_that_is_long_enough(now: datetime) -> None:
    waited, told = naive.waited(None), figures.histogram()
    wanted = [(bound, sum(wait <= bound for wait in waited)) for bound in figures.BUCKETS_SECONDS]
    assert list(told.buckets) == [*wanted, (None, len(waited))]
    assert told.sum_seconds == sum(waited) and told.orders == len(waited)


def test_coupons_have_the_orders_that_were_quoted_with_them_and_what_they_took_off(now: datetime) -> None:
    for period in (*periods(now), None):
        told = {each.coupon_id: list(astuple(each))[1:] for each in figures.coupons(period)}
        assert told == naive.coupons(period)
    sold = figures.coupons()
    assert len(sold) == 3 and all(each.quoted > each.used > each.sold > 0 for each in sold)
    assert sum(each.discount_sat for each in sold) > 0


def test_each_door_has_the_orders_that_came_by_it(now: datetime) -> None:
    for period in periods(now):
        assert {each.door: list(astuple(each))[1:] for each in figures.doors(period)} == naive.doors(period)
    assert all(each.quoted > each.paid >= each.sold > 0 for each in figures.doors(periods(now)[0]))


def test_the_wallets_that_were_quoted_most_have_their_orders_and_no_coupon_is_told(now: datetime) -> None:
    for period in periods(now):
        told, wanted = figures.wallets(period), naive.wallets(period)
        assert all(list(astuple(each))[1:] == wanted[each.token] for each in told)
        assert len(told) == min(10, len(wanted)) and all(each.token for each in told)
        least = min((each.quoted for each in told), default=0)
        assert all(sums[0] <= least for token, sums in wanted.items() if token not in {each.token for each in told})
    assert len(naive.wallets(periods(now)[0])) > 10


def test_the_days_have_what_was_paid_and_what_was_earned(now: datetime) -> None:
    for period in periods(now):
        told = {d.day: [d.paid, d.paid_sat, d.opened, d.opened_sat, d.fees_sat] for d in figures.by_day(period)}
        assert told == naive.days(period)


def test_the_months_have_what_was_opened_and_what_was_closed(now: datetime) -> None:
    for period in periods(now):
        told = {m.month: [m.opened, m.opened_sat, m.closed, m.closed_sat] for m in figures.by_month(period)}
        assert told == naive.months(period)


def test_what_was_earned_is_what_all_days_together_have(now: datetime) -> None:
    days = figures.by_day(periods(now)[0])
    told = figures.earned()
    assert (told.channels, told.capacity_sat) == (sum(d.opened for d in days), sum(d.opened_sat for d in days))
    assert told.fees_sat == sum(d.fees_sat for d in days) > 0


def test_flags_and_refunds_are_counted_as_they_stand(now: datetime) -> None:
    assert Counter({each.kind: each.flags for each in figures.flags()}) == naive.flags()
    told = {each.stands: (each.refunds, each.amount_sat, each.fee_sat) for each in figures.refunds()}
    assert told == {stands: naive.refunds().get(stands, (0, 0, 0)) for stands in told}
    assert all(told[stands][0] for stands in ("due", "under_way", "done", "kept"))


def test_what_is_free_promised_and_reserved_is_what_sales_are_made_by(now: datetime, snapshot: NodeSnapshot) -> None:
    told, stock = figures.capacity(snapshot), queries.stock(snapshot)
    assert (told.total_sat, told.promised_sat, told.available_sat) == (
        stock.total_sat,
        stock.promised_sat,
        stock.available_sat,
    )
    assert told.free_sat == max(0, stock.room_sat)
    standing = [naive.by_state().get(state, (0, 0))[1] for state in ("opening", "open", "closing")]
    assert told.sold_sat == sum(standing)
    reserved = {each.firmness: each.orders for each in told.reserved}
    assert set(reserved) == set(Firmness) and reserved[Firmness.QUOTED] == stock.unpaid > 0


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("figures", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_what_the_figures_are(now: datetime, snapshot: NodeSnapshot) -> None:
    since = (now - timedelta(days=400)).date()
    printed = said("--from", str(since), "--to", now.isoformat())
    funnel = figures.funnel(Period(datetime(since.year, since.month, since.day, tzinfo=UTC), now))
    assert re.search(rf"^  quoted +{funnel.quoted} +100.0 %$", printed, re.MULTILINE)
    for word in (
        "needs you now",
        "channels closed",
        "The worker has never reported",
        "uri_set",
        "PEER_NOT_REACHABLE",
        "never_claimed",
        "half in",
        "available",
        "under way",
    ):
        assert word in printed
    assert not any(str(order.pk)[:8] in printed for order in ChannelOrder.objects.all()[:50])


def test_for_machines_it_prints_the_same_as_json(now: datetime, snapshot: NodeSnapshot) -> None:
    told: dict[str, Any] = json.loads(said("--from", "2020-01-01", "--to", now.isoformat(), "--json"))
    told_orders = {each["state"]: each["orders"] for each in told["orders"]}
    assert told_orders == {each.state: each.orders for each in figures.by_state()}
    assert told["funnel"]["quoted"] == ChannelOrder.objects.count()
    assert told["period"]["since"] == "2020-01-01T00:00:00+00:00"
    assert told["openings"]["success"] == figures.openings().success


@pytest.mark.parametrize(
    ("ppm", "told"), [(1_365_208_300, "136,520.83 %"), (-12_345_678, "-1,234.57 %"), (5_000, "0.50 %"), (None, "")]
)
def test_a_rate_in_the_terminal_has_its_thousands_apart(ppm: int | None, told: str) -> None:
    assert command._percent(ppm) == told
