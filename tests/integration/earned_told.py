"""That what is told of a shop's earnings is what its books and forwards come to, for any history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection

from orders import figures
from orders.figures import Parts, Period
from orders.rollups import forwards
from tests.fakes import FakeNode
from tests.integration import naive_earnings as naive
from tests.integration.earned_history import History, happen

PPM: Final = 45_000


def made(seed: int, orders: int, passed: int, *, days: int = 730) -> History:
    history = happen(seed, orders, forwards=passed, days=days)
    node = FakeNode()
    node.history = history.forwards
    while not forwards.read(node, history.now)[1]:  # type: ignore[arg-type]
        pass
    _plan_for_these()
    return history


def _plan_for_these() -> None:
    """PostgreSQL knows how much there is: what it has kept of tests before may be of tables with next to nothing."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def periods(now: datetime) -> list[Period]:
    """All of it, a month, a day, a part of a day, today, and one before anything was."""
    month = datetime(2025, 6, 1, tzinfo=UTC)
    return [
        Period(now - timedelta(days=900), now + timedelta(days=3)),
        Period(month, datetime(2025, 7, 1, tzinfo=UTC)),
        Period(month, month + timedelta(days=1)),
        Period(month + timedelta(hours=5), month + timedelta(hours=6)),
        Period(now - timedelta(minutes=5), now),
        Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)),
    ]


def assert_told(history: History, period: Period) -> None:
    """Each channel, and all together, to the millisatoshi."""
    wanted = naive.by_order(period, history.now, history.forwards, PPM)
    sold = set(naive.sold().values())
    told = figures.earnings(period, history.now, limit=100_000)
    assert {each.order_id: each.parts for each in told.rows} == {o: p for o, p in wanted.items() if o in sold}
    assert told.total == naive.cost_msat(sum(wanted.values(), Parts()), PPM)
    beside = sum((parts for order, parts in wanted.items() if order not in sold), Parts())
    assert told.beside == naive.cost_msat(beside, PPM)
    assert told.channels == len(told.rows)


def assert_days(history: History, period: Period) -> None:
    """Day by day, and their sum."""
    first, last = period.whole_days
    books = naive.legs()
    begun = min(leg["entry__at"] for leg in books).date()
    routing = naive.routed(history.forwards, first, last, lambda order, day: day)
    told = figures.earned_by_day(period, history.now)
    for each in told:
        since = datetime(each.day.year, each.day.month, each.day.day, tzinfo=UTC)
        sums: dict[str, int] = {}
        for of_order in naive.booked(books, since, min(history.now, since + timedelta(days=1))).values():
            for name, value in of_order.items():
                sums[name] = sums.get(name, 0) + value
        bound = sums.pop("bound", 0)
        assert abs(each.parts.bound_msat_seconds - bound // 1_000_000) <= 1
        wanted = Parts(**sums, routing_msat=routing.get(each.day, 0), bound_msat_seconds=each.parts.bound_msat_seconds)
        assert each.parts == naive.cost_msat(wanted, PPM)
    days_wanted = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert [each.day for each in told] == [d for d in days_wanted if begun <= d <= history.now.date()]
