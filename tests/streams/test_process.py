"""The process with a real database: nudges, the clock, and who works when there are two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from orders import queries
from orders.models import ChannelOrder, Heartbeat
from orders.nudges import FOUND, NEW, notify, nudge_all
from orders.operations import snapshot
from tests.factories import OrderFactory, SnapshotFactory
from tests.regtest.waiting import until
from tests.streams.conftest import FakeLnd, Looks, Running


def heard(looks: Looks) -> None:
    """Everything that was sent before has arrived."""
    marker = OrderFactory.create()
    nudge_all([marker.pk])
    looks.wait(marker)


def test_a_nudge_brings_a_look_when_it_commits(streams: Running, looks: Looks) -> None:
    order = OrderFactory.create()
    with transaction.atomic():
        nudge_all([order.pk])
        heard_meanwhile = order.pk in looks.seen
    looks.wait(order)
    assert not heard_meanwhile


def test_a_nudge_that_was_rolled_back_brings_none(streams: Running, looks: Looks) -> None:
    order = OrderFactory.create()
    with transaction.atomic():
        nudge_all([order.pk])
        transaction.set_rollback(True)
    heard(looks)
    assert order.pk not in looks.seen


def test_word_of_an_order_that_is_not_due_brings_no_look(streams: Running, looks: Looks) -> None:
    order = OrderFactory.create(due_at=timezone.now() + timedelta(minutes=10))
    notify(order.pk)
    heard(looks)
    assert order.pk not in looks.seen


def test_word_of_a_new_order_brings_no_look(
    start: Callable[..., Running], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.process._look_at_the_clock", lambda: ([], None))
    start()
    order = OrderFactory.create(due_at=timezone.now())
    notify(order.pk, NEW)
    heard(looks)
    assert order.pk not in looks.seen


def test_an_order_is_looked_at_when_its_time_comes(
    start: Callable[..., Running], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.due.POLL_SECONDS", 1000)
    order = OrderFactory.create(due_at=timezone.now() + timedelta(seconds=1))
    start()
    looks.wait(order)


def test_a_due_time_that_nobody_told_us_of_is_found(
    streams: Running, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.due.POLL_SECONDS", 0.3)
    heard(looks)  # the clock was looked at since
    looks.wait(OrderFactory.create(due_at=timezone.now()))


def test_what_became_due_while_nobody_listened_is_looked_at_at_the_start(
    start: Callable[..., Running], looks: Looks
) -> None:
    order = OrderFactory.create(due_at=timezone.now() - timedelta(hours=1))
    start()
    looks.wait(order)


def test_a_nudge_during_a_look_brings_another_look(streams: Running, looks: Looks) -> None:
    order, nudges = OrderFactory.create(), iter([1])

    def nudged_once(order_id: UUID) -> None:
        if next(nudges, None):
            nudge_all([order_id])

    looks.during = nudged_once
    nudge_all([order.pk])
    looks.wait(order, times=2)


def test_a_look_that_fails_is_logged_with_its_order_and_stops_no_other(
    streams: Running, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    order = OrderFactory.create()

    def fail(order_id: UUID) -> None:
        if order_id == order.pk:
            raise RuntimeError("a defect")

    looks.during = fail
    nudge_all([order.pk])
    looks.wait(order)
    heard(looks)
    assert any(str(order.pk) in message for message in caplog.messages)


def test_an_order_that_stays_due_is_looked_at_again_later_and_stops_no_other(streams: Running, looks: Looks) -> None:
    order = OrderFactory.create()

    def make_due(order_id: UUID) -> None:
        if order_id == order.pk:
            ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())

    looks.during = make_due
    nudge_all([order.pk])
    looks.wait(order, times=3)
    heard(looks)


def test_a_slow_look_does_not_stop_another_order(streams: Running, looks: Looks) -> None:
    slow, quick = OrderFactory.create(), OrderFactory.create()
    waited: list[bool] = []
    quick_seen = threading.Event()

    def wait_for_the_other(order_id: UUID) -> None:
        if order_id == slow.pk:
            waited.append(quick_seen.wait(20))

    looks.during = wait_for_the_other
    nudge_all([slow.pk])
    looks.wait(slow)
    nudge_all([quick.pk])
    looks.wait(quick)
    quick_seen.set()
    until(lambda: waited == [True], "the slow look went on")


def test_what_a_look_at_all_of_them_finds_again_does_not_go_before_what_somebody_has_just_done(
    start: Callable[..., Running], looks: Looks
) -> None:
    go_on = threading.Event()
    looks.during = lambda order_id: go_on.wait(20)
    running = start(threads=1)
    held_up, found, paid = OrderFactory.create(), OrderFactory.create(), OrderFactory.create()
    nudge_all([held_up.pk])
    looks.wait(held_up)
    nudge_all([found.pk], FOUND)
    nudge_all([paid.pk])
    until(lambda: len(running.process._lanes.jobs.orders) == 2, "both wait", timeout=30)
    go_on.set()
    looks.wait(found)
    assert looks.seen == [held_up.pk, paid.pk, found.pk]


def test_an_order_that_another_process_has_is_no_news_when_it_is_looked_at_again(
    start: Callable[..., Running], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, busy, paid = OrderFactory.create(), OrderFactory.create(), OrderFactory.create()
    go_on = threading.Event()
    looks.during = lambda order_id: go_on.wait(20) if order_id == busy.pk else None
    once = {taken.pk}

    def advance(order_id: UUID, **_: object) -> bool:
        if order_id in once:
            once.discard(order_id)
            return False
        return looks(order_id)

    monkeypatch.setattr("streams.jobs.advance", advance)
    running = start(threads=1)
    nudge_all([taken.pk])
    until(lambda: not once, "somebody else has it", timeout=30)
    nudge_all([busy.pk])
    looks.wait(busy)
    until(lambda: taken.pk in running.process._lanes.jobs.orders, "it waits again", timeout=30)
    nudge_all([paid.pk])
    until(lambda: len(running.process._lanes.jobs.orders) == 2, "both wait", timeout=30)
    go_on.set()
    looks.wait(taken)
    assert looks.seen == [busy.pk, paid.pk, taken.pk]


def test_while_what_somebody_has_done_waits_for_a_look_nothing_is_sold(
    start: Callable[..., Running], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.process._BEHIND_SECONDS", 0.2)
    SnapshotFactory()
    go_on = threading.Event()
    looks.during = lambda order_id: go_on.wait(20)
    start(threads=1)
    orders = [OrderFactory.create() for _ in range(4)]
    nudge_all([orders[0].pk])
    looks.wait(orders[0])
    assert not snapshot.is_behind(queries.snapshot(), timezone.now())  # type: ignore[arg-type]  # one look is no queue
    nudge_all([each.pk for each in orders[1:]])
    until(lambda: snapshot.is_behind(queries.snapshot(), timezone.now()), "it is said", timeout=30)  # type: ignore[arg-type]
    go_on.set()
    looks.wait(orders[-1])
    until(lambda: not snapshot.is_behind(queries.snapshot(), timezone.now()), "it is over", timeout=30)  # type: ignore[arg-type]


def test_the_process_reports_and_says_how_the_node_is(streams: Running, lnd: FakeLnd) -> None:
    def detail() -> str:
        return Heartbeat.objects.filter(name="streams").values_list("detail", flat=True).first() or ""

    until(lambda: detail().startswith("node=up"), "the node is up")
    lnd.break_down()
    until(lambda: detail().startswith("node=down"), "the node is down")


def test_the_end_is_in_order_and_leaves_no_lock(streams: Running) -> None:
    assert len(holders()) == 1
    streams.stop()
    assert streams.ended_in_order is True
    until(lambda: holders() == [], "the lock is free")


def holders() -> list[int]:
    """The database processes that hold the lock of the one that works."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = 1",
            [0x4C5350],
        )
        return [pid for (pid,) in cursor.fetchall()]


def test_a_second_process_stands_by_and_takes_over(
    start: Callable[..., Running], streams: Running, lnd: FakeLnd, looks: Looks
) -> None:
    second = start()
    heard(looks)
    assert (lnd.story.count("blocks"), second.process._node.is_up) == (1, False)
    streams.stop()
    until(lambda: second.process._node.is_up, "the second works", timeout=30)
    heard(looks)


def test_a_lost_connection_to_the_database_is_made_anew_and_what_was_missed_is_looked_at(
    streams: Running, looks: Looks
) -> None:
    (holder,) = holders()
    order = OrderFactory.create()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [holder])
    nudge_all([order.pk])
    looks.wait(order)
    until(lambda: holders() not in ([], [holder]), "the lock is held anew", timeout=30)
    heard(looks)
