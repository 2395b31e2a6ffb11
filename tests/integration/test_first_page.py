"""The first page: what it says needs a person is what the lists behind it have, and it costs the same at any size."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from orders import dashboard, figures, queries
from orders.causes import FlagKind
from orders.dashboard.asked import asked
from orders.dashboard.calls import Call, calls
from orders.figures.waiting import cell
from orders.models import Alert, BooksCheck, Heartbeat, NodeSnapshot, Service, Switch
from orders.reconcile import beat
from tests import booking
from tests.bench import rows
from tests.bench.statements import Statement, noted
from tests.factories import FlagFactory, OpeningFactory, OrderFactory
from tests.house.source import ROOT
from tests.integration.staff import browser, seen, staff
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db


def called() -> list[Call]:
    now, snapshot = timezone.now(), queries.snapshot()
    return calls(figures.needs(now, snapshot), figures.node_seen(snapshot, now) if snapshot else None)


def words() -> list[str]:
    return [call.words for call in called()]


@pytest.fixture
def well(snapshot: NodeSnapshot) -> NodeSnapshot:
    """Nothing needs anybody."""
    beat("reconcile"), beat("streams")
    NodeSnapshot.objects.update(coin_sizes=[50_000_000, 30_000_000, 20_000_000])
    return snapshot


def test_a_shop_in_which_all_is_well_says_so(well: NodeSnapshot, boss: Client) -> None:
    OrderFactory(open=True), OrderFactory(), OrderFactory(uri_set=True)
    assert called() == []
    page = seen(boss.get("/admin/"))
    assert "Needs you now Nothing." in page


# Each call, and that its list has as many rows as it says


def _flags() -> None:
    for kind in (FlagKind.COINS_SHORT, FlagKind.COINS_SHORT, FlagKind.REFUND_STUCK, FlagKind.OTHER):
        FlagFactory(kind=kind)
    FlagFactory(kind="a kind of an older version")
    FlagFactory(kind=FlagKind.COINS_SHORT, lowered_at=timezone.now(), lowered_by="lsp")


def _failing() -> None:
    for reason in ("PEER_NOT_REACHABLE", "PEER_NOT_REACHABLE", "FAILED_OPENING", "a word of an older version"):
        OrderFactory(uri_set=True, last_failure_reason=reason, failed_openings=2)
    OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE", failed_openings=1)
    OrderFactory(open=True, last_failure_reason="PEER_NOT_REACHABLE", failed_openings=5)


def _refunds() -> None:
    for _ in range(2):
        RefundFactory()
    RefundFactory(order__refund_address="bcrt1qqqqq")
    for _ in range(3):
        RefundFactory(proposed=True)
    RefundFactory(kept=True)


def _leases() -> None:
    now = timezone.now()
    for days in (1, 6, 8):
        OrderFactory(open=True, lease_ends_at=now + timedelta(days=days))
    OrderFactory(open=True, lease_ends_at=now - timedelta(days=1), lease_ends_height=1)
    OrderFactory(closed=True, lease_ends_at=now + timedelta(days=1))


def _silence() -> None:
    Heartbeat.objects.filter(name="streams").update(at=timezone.now() - timedelta(hours=2))


def _alerts() -> None:
    now = timezone.now()
    for key, cleared in (("check:disk", None), ("check:backup", None), ("check:clock", now), ("flag:7", None)):
        Alert.objects.create(key=key, message="It is not well.", since=now, cleared_at=cleared)


SCENES: dict[str, tuple[Callable[[], None], list[str]]] = {
    "flags": (_flags, ["2 orders: coins short", "1 order: refund stuck", "2 orders: other"]),
    "openings that keep failing": (
        _failing,
        ["2 openings keep failing: failed opening", "2 openings keep failing: peer not reachable"],
    ),
    "refunds": (_refunds, ["3 proposed refunds wait for your decision", "2 refunds without an address"]),
    "leases": (_leases, ["2 leases end within a week", "1 lease is over, and the channel stands"]),
    "silence": (_silence, ["1 process is silent"]),
    "checks": (_alerts, ["2 checks of the doctor fail"]),
}


@pytest.mark.parametrize("scene", SCENES)
def test_what_needs_a_person_leads_to_exactly_the_list_that_it_counts(
    scene: str, well: NodeSnapshot, boss: Client
) -> None:
    happen, wanted = SCENES[scene]
    happen()
    found = called()
    assert sorted(call.words for call in found) == sorted(wanted)
    for call in found:
        assert boss.get(call.url).context["cl"].result_count == call.counted, call.words


def _never_seen() -> None:
    NodeSnapshot.objects.all().delete()


def _not_reached() -> None:
    NodeSnapshot.objects.update(at=timezone.now() - timedelta(hours=3))


def _not_synced() -> None:
    NodeSnapshot.objects.update(synced_to_chain=False, synced_at=None)


def _never_reported() -> None:
    Heartbeat.objects.filter(name="reconcile").delete()


def _wrong_books() -> None:
    BooksCheck.objects.create(at=timezone.now(), adds_up=False, words="702 sat are not in the wallet.")


def _empty_wallet() -> None:
    NodeSnapshot.objects.update(coin_sizes=[50_000], spendable_sat=50_000)


def _two_coins() -> None:
    NodeSnapshot.objects.update(coin_sizes=[60_000_000, 40_000_000])


@pytest.mark.parametrize(
    ("happen", "wanted", "on_its_page"),
    [
        (_never_seen, "The node was never seen", "node snapshot"),
        (_not_reached, "The node does not answer", "node snapshot"),
        (_not_synced, "The node is not synced", "node snapshot"),
        (_never_reported, "The worker has never reported", "heartbeat"),
        (_wrong_books, "The books do not add up", "702 sat are not in the wallet."),
        (_empty_wallet, "Too few coins for any channel", "node snapshot"),
        (_two_coins, "Few coins", "node snapshot"),
    ],
)
def test_what_is_wrong_with_the_server_is_said_and_leads_to_where_it_is_seen(
    happen: Callable[[], None], wanted: str, on_its_page: str, well: NodeSnapshot, boss: Client
) -> None:
    happen()
    [call] = called()
    assert (call.words, call.counted) == (wanted, None)
    assert on_its_page in seen(boss.get(call.url))


def test_books_that_add_up_again_need_nobody(well: NodeSnapshot) -> None:
    _wrong_books()
    BooksCheck.objects.create(at=timezone.now() + timedelta(seconds=1), adds_up=True, words="They add up.")
    assert called() == []


def test_where_nothing_is_on_sale_an_empty_wallet_needs_nobody(well: NodeSnapshot) -> None:
    _empty_wallet()
    Service.objects.update(on_sale=False)
    assert called() == []


def test_alarms_come_before_what_can_wait(well: NodeSnapshot) -> None:
    _leases(), _refunds(), _wrong_books()
    tones = [call.tone.value for call in called()]
    assert tones == sorted(tones) and set(tones) == {"alarm", "notice"}


# Figures


def test_a_bar_of_failures_leads_to_these_attempts(well: NodeSnapshot, boss: Client) -> None:
    now = timezone.now()
    for reason in ("PEER_NOT_REACHABLE", "PEER_NOT_REACHABLE", "a word of an older version", "FAILED_OPENING"):
        OpeningFactory(failed=True, failure_reason=reason)
    OpeningFactory(failed=True, failure_reason="PEER_NOT_REACHABLE", created_at=now - timedelta(days=40))
    now = timezone.now()
    [failures] = [g for g in dashboard.dashboard({}, now)["groups"] if g.name == "failures"]
    assert {bar.label: bar.value for bar in failures.bars} == {"Peer not reachable": "2", "Failed opening": "2"}
    for bar in failures.bars:
        assert str(boss.get(bar.url).context["cl"].result_count) == bar.value


def test_the_charts_of_every_period_have_the_sums_that_the_figures_have(well: NodeSnapshot) -> None:
    now = timezone.now()
    for days in (0, 0, 3, 12, 60, 300):
        at = now - timedelta(days=days, seconds=1)
        OrderFactory(open=True, paid_at=at - timedelta(minutes=20), opened_at=at)
    for name in ("day", "week", "month", "quarter", "year"):
        period = asked({"period": name}, now).period
        told = dashboard.dashboard({"period": name}, now)
        charts = {chart.name: chart for chart in told["charts"]}
        days = figures.by_day(period)
        fees = charts["fees"].series[0].values
        assert sum(filter(None, fees)) == sum(day.fees_sat for day in days) > 0
        assert sum(filter(None, charts["sales"].series[1].values)) == sum(day.opened for day in days)
        assert len(charts["fees"].labels) == len(fees) <= 100
        tiles = {tile.label: tile.value for tile in told["tiles"]}
        assert tiles["Fees earned"] == f"{sum(day.fees_sat for day in days):,}"


def test_the_profit_is_that_of_the_page_of_what_we_earn(well: NodeSnapshot, boss: Client) -> None:
    OrderFactory(open=True, opened_at=timezone.now() - timedelta(days=3))
    booking.carry()
    now = timezone.now()
    told = dashboard.dashboard({"period": "month"}, now)
    [tile] = [tile for tile in told["tiles"] if tile.label == "Profit"]
    total = figures.earnings(asked({"period": "month"}, now).period, now, limit=0).total
    assert tile.value == f"{round(total.profit_msat / 1000):,}" != "0"
    [chart] = [chart for chart in told["charts"] if chart.name == "earned-days"]
    assert abs(sum(filter(None, chart.series[0].values)) - total.profit_msat / 1000) < 2
    assert boss.get(tile.url).status_code == 200


def test_a_slot_without_a_channel_has_no_wait_rather_than_none_of_it(well: NodeSnapshot) -> None:
    now = timezone.now()
    at = now - timedelta(microseconds=1)
    OrderFactory(open=True, paid_at=at - timedelta(minutes=30), opened_at=at)
    charts = {chart.name: chart for chart in dashboard.dashboard({"period": "week"}, now)["charts"]}
    assert charts["waiting"].series[0].values == (None,) * 6 + (round(cell(30 * 60) / 60, 1),)
    assert charts["sales"].series[1].values == (0,) * 6 + (1,)


NOON = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ({}, "2026-02-17T00:00", "2026-03-18T12:30"),
        ({"period": "week"}, "2026-03-12T00:00", "2026-03-18T12:30"),
        ({"period": "day"}, "2026-03-17T13:00", "2026-03-18T12:30"),
        ({"from": "2026-01-31", "to": "2026-02-01"}, "2026-01-31T00:00", "2026-02-02T00:00"),
        ({"from": "2026-03-01"}, "2026-03-01T00:00", "2026-03-18T12:30"),
        ({"to": "2026-02-01"}, "2026-02-01T00:00", "2026-02-02T00:00"),
        ({"from": "2026-03-18", "to": "2027-01-01"}, "2026-03-18T00:00", "2026-03-18T12:30"),
        ({"from": "2026-04-01", "to": "2026-05-01"}, "2026-04-01T00:00", "2026-04-01T00:00"),
    ],
)
def test_the_address_says_which_period_is_shown(query: dict[str, str], since: str, until: str) -> None:
    found = asked(query, NOON)
    assert not found.fault
    assert (f"{found.period.since:%Y-%m-%dT%H:%M}", f"{found.period.until:%Y-%m-%dT%H:%M}") == (since, until)


@pytest.mark.parametrize(
    "query",
    [
        {"period": "century"},
        {"from": "yesterday"},
        {"from": "2026-02-02", "to": "2026-02-01"},
        {"from": "0001-01-01"},
        {"from": "2010-01-01", "to": "8000-01-01"},
        {"to": "9999-12-31"},
        {"from": "<script>alert(1)</script>"},
    ],
)
def test_an_address_that_makes_no_sense_says_so_and_shows_the_usual_period(
    query: dict[str, str], well: NodeSnapshot, boss: Client
) -> None:
    answer = boss.get("/admin/", query)
    assert "The last 30 days are shown." in seen(answer) and b"<script>alert" not in answer.content


def test_slots_are_as_postgres_cuts_time() -> None:
    since = datetime(2025, 12, 30, 22, 10, tzinfo=UTC)  # a Tuesday
    period = figures.Period(since, since + timedelta(days=40))
    unit = figures.Unit
    assert [f"{at:%m-%d}" for at in figures.slots(period, unit.WEEK)][:3] == ["12-29", "01-05", "01-12"]
    assert [f"{at:%Y-%m}" for at in figures.slots(period, unit.MONTH)] == ["2025-12", "2026-01", "2026-02"]
    assert len(figures.slots(period, unit.DAY)) == 41
    OrderFactory(open=True, paid_at=since, opened_at=since + timedelta(days=39, hours=23, minutes=55))
    for each in unit:
        starts = figures.slots(period, each)
        assert {row.at for row in figures.sold(period, each)} == {starts[0], starts[-1]}, each


# Who sees it, and what it costs


def test_who_may_not_see_orders_sees_no_figures(well: NodeSnapshot) -> None:
    _flags()
    page = seen(browser(staff("eve")).get("/admin/"))
    assert "Needs you" not in page and "Fees earned" not in page


def test_a_viewer_sees_it_all_and_no_orders_id(well: NodeSnapshot) -> None:
    order = OrderFactory(give_up=True, flagged="Look at it.")
    BooksCheck.objects.create(at=timezone.now(), adds_up=False, words=f"{order.pk} is wrong.")
    answer = browser(staff("eve", "view_channelorder")).get("/admin/")
    assert "Fees earned" in seen(answer) and str(order.pk) not in answer.content.decode()


def statements(client: Client, **query: str) -> list[Statement]:
    found: list[Statement] = []
    with noted(found):
        assert client.get("/admin/", query).status_code == 200
    return found


@pytest.mark.parametrize("query", [{}, {"period": "year"}])
def test_thousands_of_orders_take_as_many_statements_as_none(
    query: dict[str, str], well: NodeSnapshot, boss: Client
) -> None:
    statements(boss)  # the first of a minute writes when the session was used last
    before = statements(boss, **query)
    _flags(), _failing(), _refunds(), _leases()
    rows.fill(4_000)
    found = statements(boss, **query)
    assert len(found) == len(before) <= 55, "\n".join(each.sql[:100] for each in found)


# Pause and resume


def switch(client: Client, name: str, on: str, reason: str = "") -> Any:
    return client.post("/admin/orders/switchevent/switch/", {"name": name, "on": on, "reason": reason}, follow=True)


def test_sales_are_paused_with_a_reason_and_go_on(well: NodeSnapshot, boss: Client) -> None:
    page = seen(switch(boss, "sales", "no", "We upgrade the node."))
    assert "sales paused We upgrade the node. by staff:" in page and "Resume sales" in page
    assert not Switch.objects.get(name="sales").on
    assert "Pause sales" in seen(switch(boss, "sales", "yes"))
    assert Switch.objects.get(name="sales").on


def test_without_a_reason_nothing_is_paused(well: NodeSnapshot, boss: Client) -> None:
    assert "A reason of 1 to 200 characters is required" in seen(switch(boss, "openings", "no", "  "))
    assert not Switch.objects.filter(on=False).exists()


def test_who_may_look_may_not_pause(well: NodeSnapshot) -> None:
    viewer = browser(staff("eve", "view_channelorder", "view_switchevent", "view_switch"))
    assert switch(viewer, "sales", "no", "for fun").status_code == 403
    assert "Pause sales" not in viewer.get("/admin/").content.decode()
    may = browser(staff("bob", "view_channelorder", "change_switch"))
    assert "Resume sales" in seen(switch(may, "sales", "no", "for fun"))


def test_a_pause_is_posted_and_what_is_no_switch_is_none(well: NodeSnapshot, boss: Client) -> None:
    assert boss.get("/admin/orders/switchevent/switch/").status_code == 405
    assert switch(boss, "everything", "no", "for fun").status_code == 200
    assert not Switch.objects.exists()


# What the page runs


def test_what_we_serve_of_others_is_what_its_page_says() -> None:
    folder = ROOT / "orders" / "static" / "orders" / "vendor"
    told = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE))
    assert told == {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.js")}


def test_the_page_runs_nothing_but_files_of_this_server(well: NodeSnapshot, boss: Client) -> None:
    OrderFactory(open=True)
    answer = boss.get("/admin/")
    page = answer.content.decode()
    scripts = re.findall(r"<script(?![^>]*application/json)([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert scripts and all("src=" in tag and not body.strip() for tag, body in scripts)
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", page)
    assert all(not urlsplit(url).netloc for url in re.findall(r'(?:src|href)="([^"]+)"', page))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
