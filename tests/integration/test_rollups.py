"""What is kept by day is what the samples, signs of life and books come to; and it can be made anew."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import alive, figures, locks, queries, reconcile, tasks
from orders.figures import Period
from orders.locks import Lock
from orders.models import (
    Alive,
    ForwardDay,
    Heartbeat,
    MoneyDay,
    NodeSnapshot,
    RollUp,
    RollUpName,
    StockDay,
    StockSample,
    UptimeDay,
)
from orders.operations.snapshot import refresh_snapshot
from orders.rollups import days, keeping, stock
from tests.factories import OrderFactory
from tests.fakes import FakeNode
from tests.integration.earned_history import happen
from tests.integration.test_forwards import passed

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 5, 17, 20, 30, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """When days are added up."""

    def stands(at: datetime) -> None:
        monkeypatch.setattr(days.timezone, "now", lambda: at)

    stands(NOW)
    return stands


def ever() -> Period:
    return Period(NOW - timedelta(days=800), NOW + timedelta(days=30))


# The stock


def test_an_hour_has_one_sample_as_it_was_last(snapshot: NodeSnapshot) -> None:
    stock.sample(NOW)
    OrderFactory(open=True)
    stock.sample(NOW + timedelta(minutes=10))
    stock.sample(NOW + timedelta(hours=1))
    first, second = StockSample.objects.all()
    assert (first.at, first.taken_at) == (NOW.replace(minute=0, second=0), NOW + timedelta(minutes=10))
    assert first.sold_sat == second.sold_sat == 1_050_000


def test_a_sample_is_what_the_figures_say(snapshot: NodeSnapshot) -> None:
    OrderFactory(uri_set=True)
    stock.sample(NOW)
    seen = queries.snapshot()
    assert seen is not None
    capacity, coins, row = figures.capacity(seen), figures.coins(seen), StockSample.objects.get()
    for name in ("sold", "total", "promised", "free", "available"):
        assert getattr(row, f"{name}_sat") == getattr(capacity, f"{name}_sat")
    assert row.reserved_sat == sum(each.value_sat for each in capacity.reserved)
    assert (row.deep_sat, row.deep_coins) == (coins.deep.sat, coins.deep.coins)


def test_before_the_node_was_seen_a_sample_says_what_is_known(db: None) -> None:
    stock.sample(NOW)
    row = StockSample.objects.get()
    assert (row.sold_sat, row.free_sat, row.deep_sat) == (0, None, None)


def samples(seed: int, *, days_back: int) -> None:
    """Some hours of some days, and none of others."""
    chance = Random(seed)
    for hours in range(days_back * 24):
        at = NOW.replace(minute=0, second=0) - timedelta(hours=hours)
        if at.day % 5 != 1 and chance.random() < 0.6:
            numbers = [chance.randrange(10**9) for _ in range(9)]
            names = ["sold", "total", "promised", "free", "available", "reserved", "deep", "leased", "young"]
            sums = dict(zip([f"{name}_sat" for name in names], numbers, strict=True))
            StockSample.objects.create(at=at, taken_at=at, deep_coins=chance.randrange(9), **sums)


def test_a_day_of_the_stock_is_as_its_last_sample_with_the_least_that_could_be_bought(clock: Any) -> None:
    samples(1, days_back=20)
    days.add_up(RollUpName.STOCK)
    by_day: dict[date, list[StockSample]] = defaultdict(list)
    for row in StockSample.objects.order_by("at"):
        by_day[row.at.date()].append(row)
    told = figures.stock_by_day(ever())
    assert [each.day for each in told] == sorted(by_day) and NOW.date() in by_day
    for each in told:
        rows = by_day[each.day]
        assert each.samples == len(rows)
        assert each.least_available_sat == min(row.available_sat for row in rows if row.available_sat is not None)
        for name in ("sold_sat", "free_sat", "promised_sat", "reserved_sat", "deep_coins", "young_sat"):
            assert getattr(each, name) == getattr(rows[-1], name)


# Uptime


def test_signs_of_life_are_one_stretch_until_there_is_a_pause(settings: Any, db: None) -> None:
    settings.HEARTBEAT_STALE_SECONDS = 180
    for second in (0, 60, 120, 300, 481, 500):
        alive.lives("streams", NOW + timedelta(seconds=second))
    rows = list(Alive.objects.values_list("since", "until"))
    at = [NOW + timedelta(seconds=second) for second in (0, 300, 481, 500)]
    assert rows == [(at[0], at[1]), (at[2], at[3])]


def test_a_clock_that_goes_back_shortens_nothing(db: None) -> None:
    for second in (0, 60, 30):
        alive.lives("streams", NOW + timedelta(seconds=second))
    assert Alive.objects.get().until == NOW + timedelta(seconds=60)


def test_each_heartbeat_and_each_look_that_the_node_answers_is_a_sign_of_life(snapshot: NodeSnapshot) -> None:
    reconcile.beat("streams")
    refresh_snapshot(FakeNode())  # type: ignore[arg-type]
    assert set(Alive.objects.values_list("name", flat=True)) == {"streams", alive.NODE}
    assert Heartbeat.objects.get().at == Alive.objects.get(name="streams").until


def lived(seed: int) -> None:
    chance = Random(seed)
    for name in ("node", "reconcile", "streams"):
        at = NOW - timedelta(days=chance.randrange(6, 12), seconds=chance.randrange(80_000))
        while at < NOW:
            until = min(NOW, at + timedelta(seconds=chance.randrange(60, 200_000)))
            Alive.objects.create(name=name, since=at, until=until)
            at = until + timedelta(seconds=chance.randrange(200, 60_000))
    last = Alive.objects.filter(name="node").order_by("until")[1]
    Alive.objects.create(name="node", since=last.since + timedelta(seconds=1), until=last.until - timedelta(seconds=9))


def uptime() -> dict[tuple[date, str], tuple[int, int]]:
    """Second by second of each day, by whole seconds as the history has them."""
    found = {}
    for name in Alive.objects.values_list("name", flat=True).distinct():
        rows = list(Alive.objects.filter(name=name))
        born = min(row.since for row in rows)
        day = born.date()
        while day <= NOW.date():
            begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
            ends = min(begins + timedelta(days=1), NOW)
            up = {
                second
                for row in rows
                for second in range(_since(begins, max(row.since, begins)), _since(begins, min(row.until, ends)))
            }
            found[day, name] = (len(up), _since(max(begins, born), ends))
            day += timedelta(days=1)
    return found


def _since(begins: datetime, at: datetime) -> int:
    return (at - begins) // timedelta(seconds=1)


def test_a_day_has_for_how_long_each_was_alive_and_stretches_that_overlap_count_once(clock: Any, db: None) -> None:
    lived(4)
    days.add_up(RollUpName.UPTIME)
    told = {(each.day, each.name): (each.up_seconds, each.counted_seconds) for each in figures.uptime_by_day(ever())}
    assert told == uptime()
    assert any(0 < up < counted for up, counted in told.values())


def test_what_was_alive_all_day_is_told_so_and_what_was_silent_for_a_second_is_not(clock: Any, db: None) -> None:
    begins = datetime(2026, 3, 3, tzinfo=UTC)
    Alive.objects.create(name="node", since=begins, until=begins + timedelta(days=1))
    Alive.objects.create(name="node", since=begins + timedelta(days=1, seconds=500), until=NOW)
    days.add_up(RollUpName.UPTIME)
    assert [each.up_permille for each in figures.uptime_by_day(ever())][:2] == [1000, 994]


# Made anew


def everything() -> dict[str, list[tuple[Any, ...]]]:
    tables = (StockDay, UptimeDay, MoneyDay, ForwardDay)
    return {
        table.__name__: sorted(table.objects.values_list(*(f.name for f in table._meta.fields if f.name != "id")))
        for table in tables
    }


@pytest.fixture
def kept(clock: Any, snapshot: NodeSnapshot) -> dict[str, list[tuple[Any, ...]]]:
    """All of it, as it was added up day after day."""
    lnd = FakeNode()
    history = happen(5, 60, days=30, forwards=200, now=NOW)
    lnd.history = history.forwards
    samples(2, days_back=9)
    lived(6)
    for back in (8, 3, 0):
        clock(NOW - timedelta(days=back))
        keeping.keep(lnd, NOW)  # type: ignore[arg-type]
    return everything()


def test_days_that_were_added_up_one_after_the_other_are_as_if_all_were_made_anew(kept: Any) -> None:
    made = keeping.rebuild()
    assert everything() == kept
    assert all(made.values())


def test_what_is_wrong_is_put_right_by_making_it_anew(kept: Any) -> None:
    StockDay.objects.update(sold_sat=1)
    UptimeDay.objects.update(up_seconds=2)
    MoneyDay.objects.update(sale_fees_msat=3)
    ForwardDay.objects.update(forwards=4)
    assert everything() != kept
    keeping.rebuild()
    assert everything() == kept


def test_what_is_older_than_what_is_kept_one_by_one_stays_as_it_is(kept: Any, settings: Any) -> None:
    settings.FIGURES_KEPT_DAYS = 4
    first = NOW.date() - timedelta(days=4)
    keeping.forget(NOW, with_forwards=True)
    assert StockSample.objects.earliest("at").at.date() >= first
    assert everything() == kept, "what is kept by day is not forgotten"
    keeping.rebuild()
    after = everything()
    assert after["MoneyDay"] == kept["MoneyDay"] and after["ForwardDay"] == kept["ForwardDay"]
    assert after == kept


def test_a_rebuild_does_nothing_by_halves(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: RollUpName) -> int:
        if name is RollUpName.UPTIME:
            raise RuntimeError("the machine dies")
        return made(name)

    made = days.rebuild
    monkeypatch.setattr(keeping.days, "rebuild", fails)
    with pytest.raises(RuntimeError):
        keeping.rebuild()
    assert everything() == kept


def test_a_day_counts_for_good_only_an_hour_after_it_ended(clock: Any, db: None) -> None:
    """Whoever posts an entry has its moment before the entry is there."""
    happen(7, 20, days=10, now=NOW)
    clock(datetime(2026, 3, 5, 0, 59, tzinfo=UTC))
    days.add_up(RollUpName.MONEY)
    assert RollUp.objects.get(name="money").through == date(2026, 3, 3)
    clock(datetime(2026, 3, 5, 1, 0, tzinfo=UTC))
    days.add_up(RollUpName.MONEY)
    assert RollUp.objects.get(name="money").through == date(2026, 3, 4)


# The round


def test_a_macaroon_without_the_right_reads_no_forwards_and_all_else_goes_on(snapshot: NodeSnapshot) -> None:
    lnd = FakeNode()
    lnd.allows = lambda method: not method.endswith("ForwardingHistory")  # type: ignore[method-assign]
    lnd.history = [passed(1_700_000_000 * 10**9)]
    assert keeping.keep(lnd, timezone.now()).endswith("lacks /lnrpc.Lightning/ForwardingHistory")  # type: ignore[arg-type]
    assert StockSample.objects.count() == 1 and not ForwardDay.objects.exists()


def test_while_the_node_is_away_the_stock_is_sampled_all_the_same(snapshot: NodeSnapshot) -> None:
    lnd = FakeNode()
    lnd.fails_at["forwards"] = NodeUnavailable("away")
    assert "away" in keeping.keep(lnd, timezone.now())  # type: ignore[arg-type]
    assert StockSample.objects.count() == 1


def test_the_scheduled_task_does_all_of_it(snapshot: NodeSnapshot, node: FakeNode) -> None:
    node.history = [passed(int(timezone.now().timestamp()) * 10**9, htlc=1)]
    assert tasks.keep_figures() == "forwards=1"
    assert set(RollUp.objects.values_list("name", flat=True)) == set(RollUpName)


def test_it_is_scheduled(db: None) -> None:
    from django_q.models import Schedule

    row = Schedule.objects.get(name="figures")
    assert (row.func, row.minutes) == ("orders.tasks.keep_figures", 10)


def test_of_two_rounds_at_once_one_leaves(snapshot: NodeSnapshot, other_session: Any) -> None:
    other_session.execute("SELECT pg_advisory_lock(%s)", [Lock.FIGURES])
    assert keeping.keep(FakeNode(), timezone.now()) == "somebody is at it"  # type: ignore[arg-type]
    assert not StockSample.objects.exists()


@pytest.fixture
def other_session(db: None) -> Any:
    other = connection.copy()
    with other.cursor() as cursor:
        yield cursor
    other.close()


def test_the_command_says_of_what_has_no_day_yet_that_it_has_none(db: None, node: FakeNode) -> None:
    RollUp.objects.create(name=RollUpName.ROUTING)
    out = StringIO()
    call_command("rollups", stdout=out)
    assert f"  {'Forwards':<24} no day yet\n" in out.getvalue() and "None" not in out.getvalue()


def test_the_command_does_a_round_or_makes_all_anew_and_says_so(snapshot: NodeSnapshot, node: FakeNode) -> None:
    out = StringIO()
    call_command("rollups", stdout=out)
    assert out.getvalue().startswith("forwards=0")
    out = StringIO()
    call_command("rollups", "--rebuild", "--json", stdout=out)
    told = json.loads(out.getvalue())["rollups"]
    assert told["stock"]["made"] == 1 and told["stock"]["through"]
    assert locks.is_held((0, 0)) is False
