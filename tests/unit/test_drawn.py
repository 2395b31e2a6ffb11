"""What the first page draws of days, and how it says numbers: no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from orders.dashboard import daily, words
from orders.figures import Period, Unit


@dataclass(frozen=True)
class Stock:
    day: date
    sold_sat: int
    free_sat: int | None = 0
    promised_sat: int | None = 0
    reserved_sat: int = 0
    deep_sat: int | None = 0
    leased_sat: int | None = 0
    young_sat: int | None = 0


@dataclass(frozen=True)
class Up:
    day: date
    name: str
    up_seconds: int
    counted_seconds: int


@dataclass(frozen=True)
class Earned:
    day: date
    profit_msat: int


MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def day(number: int) -> date:
    return (MONDAY + timedelta(days=number)).date()


def test_a_day_of_which_nothing_is_known_is_a_gap_and_no_zero() -> None:
    axis = daily.axis_of(Period(MONDAY, MONDAY + timedelta(days=3)))
    chart = daily.stock(axis, [Stock(day(0), 5, None), Stock(day(2), 7, 3)])
    lines = {each.name: each.values for each in chart.series}
    assert (lines["in sold channels"], lines["free"]) == ((5, None, 7), (None, None, 3))
    assert [label for label, _ in chart.rows] == ["Mon 2026-03-02", "Wed 2026-03-04"]


def test_a_week_has_what_its_last_day_had_and_earned_what_all_its_days_did() -> None:
    axis = daily.axis_of(Period(MONDAY, MONDAY + timedelta(days=140)))
    assert axis.unit is Unit.WEEK
    stock = daily.stock(axis, [Stock(day(0), 5), Stock(day(6), 9), Stock(day(7), 4)])
    assert stock.series[0].values[:3] == (9, 4, None)
    earned = daily.earned(axis, [Earned(day(0), 1_500), Earned(day(6), 2_000), Earned(day(7), -4_000)])
    assert earned.series[0].values[:3] == (4, -4, None) and not earned.is_empty


def test_signs_of_life_are_of_the_time_that_was_counted() -> None:
    axis = daily.axis_of(Period(MONDAY, MONDAY + timedelta(days=2)))
    days = [Up(day(0), "node", 43_200, 86_400), Up(day(1), "node", 0, 0), Up(day(1), "streams", 86_399, 86_400)]
    lines = {each.name: each.values for each in daily.uptime(axis, days).series}
    assert lines == {"node": (50.0, None), "worker": (None, None), "streams": (None, 99.9)}


def test_a_day_alone_is_drawn_by_the_day_where_nothing_finer_is_kept() -> None:
    assert daily.axis_of(Period(MONDAY, MONDAY + timedelta(hours=20))).unit is Unit.DAY


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3_600, "60 min"),
        (5_400, "1 h 30 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: int | None, said: str) -> None:
    assert words.lasting(seconds) == said


@pytest.mark.parametrize(("share", "said"), [(None, "–"), (1.0, "100 %"), (0.975, "97.5 %"), (0.0, "0 %")])
def test_a_part_of_nothing_is_not_nothing(share: float | None, said: str) -> None:
    assert words.part(share) == said


def test_one_is_not_many() -> None:
    assert (words.count(1, "refund"), words.count(2_000, "refund")) == ("1 refund", "2,000 refunds")
    assert words.count(2, "lease ends", "leases end") == "2 leases end"
