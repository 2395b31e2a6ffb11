"""Where a figure begins and ends, and what it costs: as many statements for many orders as for none."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from orders import figures, queries
from orders.figures import Period, Step
from orders.models import ChannelOpening, ChannelOrder, Heartbeat, NodeSnapshot, RollUp
from orders.operations.snapshot import refresh_snapshot, remember_coins_aside
from tests.bench import rows
from tests.bench.statements import Statement, noted, rows_read
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory
from tests.fakes import FakeNode
from tests.reserving import ReservationFactory

pytestmark = pytest.mark.django_db


def test_an_order_of_before_the_journal_is_lost_for_no_known_reason() -> None:
    OrderFactory(expired=True)
    now = timezone.now()
    [lost] = figures.funnel(Period.last(timedelta(days=1), now)).lost
    assert (lost.after, lost.why, lost.orders, lost.capacity_sat) == (Step.QUOTED, "unknown", 1, 1_050_000)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(59.999, 60), (60, 60), (60.9, 60), (61, 300), (10**6, None), (-5, 60)]
)
def test_a_wait_belongs_to_the_first_bucket_that_is_not_shorter(seconds: float, bucket: int | None) -> None:
    paid_at = timezone.now()
    OrderFactory(open=True, paid_at=paid_at, opened_at=paid_at + timedelta(seconds=seconds))
    assert next(bound for bound, orders in figures.histogram().buckets if orders) == bucket


def test_a_day_is_one_of_utc() -> None:
    late = datetime(2026, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    for moment in (late, late + timedelta(microseconds=1)):
        OrderFactory(open=True, paid_at=moment, opened_at=moment)
    period = Period(late - timedelta(days=1), late + timedelta(days=1))
    assert [d.day for d in figures.by_day(period)] == [date(2026, 3, 31), date(2026, 4, 1)]
    assert [m.month for m in figures.by_month(period)] == [date(2026, 3, 1), date(2026, 4, 1)]


def test_a_reservation_that_is_over_or_gives_way_is_none() -> None:
    going = OrderFactory(reservation__gives_way_at=timezone.now())
    ReservationFactory(order=OrderFactory(expired=True))
    assert going.reservation.is_going
    assert [each for each in figures.capacity(None).reserved if each.orders] == []


def test_coins_are_counted_by_size_and_by_why_they_fund_nothing() -> None:
    sizes = [120_000_000, 100_000_000, 99_999_999, 5_000_000, 4_000_000, 50_000]
    seen = SnapshotFactory(
        coin_sizes=sizes, spendable_sat=sum(sizes), coins_aside={"young": [2, 7_000], "strange": [1, 1]}
    )
    told = figures.coins(seen)
    assert (told.deep.coins, told.deep.sat) == (6, sum(sizes))
    counts = {least: (each.coins, each.sat) for least, each in told.by_size}
    assert counts[100_000_000] == (2, 220_000_000) and counts[20_000_000] == (1, 99_999_999)
    assert counts[5_000_000] == (1, 5_000_000) and counts[1_000_000] == (1, 4_000_000)
    assert counts[100_000] == (0, 0) and counts[0] == (1, 50_000)
    assert {why: each.coins for why, each in told.aside} == {"leased": 0, "young": 2, "nested": 0, "foreign": 0}


def test_a_look_at_the_node_says_how_long_the_node_took() -> None:
    seen = refresh_snapshot(FakeNode())  # type: ignore[arg-type]
    remember_coins_aside(FakeNode())  # type: ignore[arg-type]
    told = figures.node_seen(NodeSnapshot.objects.get(pk=seen.pk), timezone.now())
    assert told.look_seconds is not None and 0 <= told.look_seconds < 5
    assert (told.version, told.block_height, told.is_fresh, told.follows_chain) == ("0.20.0", 800, True, True)


def test_tasks_that_wait_are_told_from_those_that_run() -> None:
    now = timezone.now()
    for lock in (now - timedelta(seconds=40), now - timedelta(seconds=3), now + timedelta(seconds=60)):
        OrmQ.objects.create(key="lsp", payload="", lock=lock)
    assert figures.queue(now) == figures.Queue(waiting=2, running=1, oldest_seconds=40)


def test_a_process_that_is_silent_for_too_long_is_stale() -> None:
    now = timezone.now()
    Heartbeat.objects.create(name="streams", at=now - timedelta(seconds=200))
    Heartbeat.objects.create(name="looks", at=now + timedelta(seconds=200))
    assert figures.heartbeats(now) == [figures.Beat("looks", 0, False), figures.Beat("streams", 200, True)]


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1), datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001
    ],
)
def test_a_period_that_cannot_be_is_none(since: datetime, until: datetime) -> None:
    with pytest.raises(ValueError):
        Period(since, until)


def statements() -> list[Statement]:
    now, seen = timezone.now(), list[Statement]()
    with noted(seen):
        figures.report(Period.last(timedelta(days=30), now), now)
        figures.histogram()
        figures.earned()
        figures.openings()
        figures.paused()
        figures.alerts_standing()
        figures.database_seconds()
    return seen


def test_thousands_of_orders_take_as_many_statements_as_none(snapshot: NodeSnapshot) -> None:
    before = statements()
    for trait in ("paid_lightning", "uri_set", "opening", "open", "give_up", "refunded"):
        OrderFactory(**{trait: True})
    rows.fill(4_000)
    assert ChannelOrder.objects.count() > 4_000
    assert len(statements()) == len(before) <= 48


def test_how_it_stands_now_is_told_without_a_look_at_the_orders_at_rest(snapshot: NodeSnapshot) -> None:
    for trait in ("paid_lightning", "uri_set", "opening", "closing", "give_up"):
        OrderFactory(**{trait: True})
    DepositFactory(order=OrderFactory(), unconfirmed=True)
    rows.fill(4_000)
    seen, now = list[Statement](), timezone.now()
    with noted(seen), connection.cursor() as cursor:
        figures.oldest(now)
        figures.flags()
        queries.stock(snapshot)
        figures.queue(now)
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert max(rows_read(seen).values()) < 50


@pytest.fixture
def years(snapshot: NodeSnapshot) -> None:
    """Thousands of orders of a hundred days, each day and each order kept."""
    OrderFactory(open=True)
    rows.fill(4_000, timedelta(days=100))
    rows.book()
    call_command("rollups", "--rebuild", stdout=StringIO())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def read_for_figures() -> dict[str, int]:
    """How many rows of each table that grows are looked at for all figures, of all time and of a month."""
    now, seen = timezone.now(), list[Statement]()
    with noted(seen):
        for days in (30, 3_000):
            figures.report(Period.last(timedelta(days=days), now), now)
            figures.earned_by_day(Period.last(timedelta(days=days), now), now)
        figures.histogram()
        figures.earned()
        figures.openings()
    with connection.cursor() as cursor:
        # However small a table is here: it is read whole only where no index would do.
        for way in ("seqscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
    return {each.sql: sum(rows_read([each]).values()) for each in seen}


#: The orders of a day or two, with all that belongs to them.
FEW = 1_000


def test_figures_of_days_that_are_kept_are_told_without_a_look_at_the_orders_at_rest(years: None) -> None:
    assert [sql for sql, read in read_for_figures().items() if read > FEW] == []


def test_what_is_kept_is_told_to_machines_as_what_is_counted(years: None) -> None:
    kept, names = json.loads(said("--json")), ("orders", "openings", "earnings", "refunds", "days", "doors", "closings")
    RollUp.objects.update(meaning="another", through=None)
    counted = json.loads(said("--json"))
    for name in names:
        if name == "earnings":  # channels that stand have bound more since
            kept[name], counted[name] = (
                [each["unpaid_msat"], each["channels"]] for each in (kept[name], counted[name])
            )
        assert kept[name] == counted[name], name


def test_control_without_what_is_kept_they_look_at_all_of_them(years: None) -> None:
    RollUp.objects.filter(name__in=["figures", "earned", "money"]).update(meaning="another", through=None)
    assert sum(read > FEW for read in read_for_figures().values()) > 10


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("figures", *arguments, stdout=out)
    return out.getvalue()


def test_a_shop_without_orders_and_without_a_node_has_its_figures_too() -> None:
    assert "never seen" in said()
    told = json.loads(said("--json"))
    assert (told["node"], told["coins"], told["capacity"]["free_sat"]) == (None, None, None)


@pytest.mark.parametrize("arguments", [("--from", "yesterday"), ("--from", "2026-02-01", "--to", "2026-01-01")])
def test_a_period_that_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        said(*arguments)


def test_a_close_is_early_by_its_block_and_by_the_clock_where_that_is_not_known() -> None:
    """We may hear of it late, and blocks come faster and slower than the clock."""
    now = timezone.now()
    for height, ends_height, days in ((899, 900, -1), (1, 900, -1), (900, 900, 9), (None, 900, 9), (899, None, 9)):
        ends_at = now + timedelta(days=days)
        order = OrderFactory(closed=True, lease_ends_at=ends_at, lease_ends_height=ends_height, closed_at=now)
        ChannelOpening.objects.filter(order=order).update(close_type="remote_force_close", close_height=height)
    [told] = figures.closings(figures.Period(now - timedelta(days=1), now + timedelta(days=1)))
    assert (told.closed, told.early) == (5, 4)
