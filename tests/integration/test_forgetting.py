"""What is over and no record of money goes; what is not over, or is one, stays."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_q.models import Schedule, Task

from orders.models import (
    Alert,
    AlertMute,
    AuditEntry,
    BooksCheck,
    ChannelOrder,
    IdempotencyKey,
    OrderEvent,
    RequestCount,
    WakeUp,
    WakeUpMethod,
    WakeUpOutcome,
    Webhook,
)
from tests.factories import OrderFactory
from tests.integration.test_commands import run
from watch import forgetting, tasks

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=366)
LATELY = NOW - timedelta(days=364)


def write(of: datetime, *, is_over: bool) -> None:
    """One row of each kind that was over at that time, or is not over."""
    ends = NOW - timedelta(seconds=1) if is_over else NOW + timedelta(hours=1)
    name = str(is_over)
    RequestCount.objects.create(key_hash=name, count=1, ends_at=ends)
    IdempotencyKey.objects.create(key_hash=name, body_hash="", created_at=of if is_over else NOW)
    Session.objects.create(session_key=name, session_data="", expire_date=ends)
    Alert.objects.create(key=name, message="", since=LONG_AGO, cleared_at=of)
    AlertMute.objects.create(reason=name, made_at=of - timedelta(days=1), made_by="", until=of)
    BooksCheck.objects.create(at=of, adds_up=is_over, words=name)
    needed = NOW - timedelta(days=15 if is_over else 13)
    facts = {"url": "https://a.example/", "set_at": of, "needed_at": needed, "looked_at": NOW}
    Webhook.objects.create(node_pubkey="02" * 33, app_name=name, **facts)
    kept = Webhook.objects.create(node_pubkey="03" * 33, app_name=name, **{**facts, "needed_at": NOW})
    told = {"method": WakeUpMethod.PAYMENT, "created_at": of, "next_at": of, "ended_at": of}
    WakeUp.objects.create(webhook=kept, outcome=WakeUpOutcome.DELIVERED, **told)
    Task.objects.create(id=name, name=name, func="f", started=of, stopped=of, success=False)


@pytest.fixture
def both() -> None:
    write(LONG_AGO, is_over=True)
    write(LATELY, is_over=False)


def left() -> list[int]:
    tables: tuple[Any, ...] = (RequestCount, IdempotencyKey, Session, Alert, AlertMute, BooksCheck, Task, WakeUp)
    return [table.objects.count() for table in tables]


def test_of_each_kind_what_is_over_goes_and_the_rest_stays(both: None) -> None:
    assert set(dict(forgetting.forget(NOW)).values()) == {1}
    assert left() == [1] * 8
    assert not IdempotencyKey.objects.filter(pk="True") and not RequestCount.objects.filter(pk="True")
    assert set(dict(forgetting.forget(NOW)).values()) == {0}


def test_an_alert_that_stands_and_the_last_look_at_the_books_stay_however_old(settings: Any) -> None:
    settings.ALERTS_KEPT_DAYS = 1
    Alert.objects.create(key="stands", message="", since=LONG_AGO)
    BooksCheck.objects.create(at=LONG_AGO, adds_up=True, words="the last")
    assert set(dict(forgetting.forget(NOW)).values()) == {0}


def test_what_is_the_record_stays() -> None:
    order = OrderFactory(expired=True, created_at=LONG_AGO - timedelta(days=3650))
    OrderEvent.objects.create(order=order, version=1, at=LONG_AGO, actor="", cause="quoted", to_state="created")
    AuditEntry.objects.create(at=LONG_AGO, kind="deed", person="alice", actor="alice")
    list(forgetting.forget(NOW))
    assert (ChannelOrder.objects.count(), OrderEvent.objects.count(), AuditEntry.objects.count()) == (1, 1, 1)


def test_a_key_whose_order_stands_goes_and_the_order_stays() -> None:
    IdempotencyKey.objects.create(key_hash="k", body_hash="", created_at=LONG_AGO, order=OrderFactory())
    assert dict(forgetting.forget(NOW))["idempotency keys"] == 1
    assert ChannelOrder.objects.count() == 1


def test_however_many_there_are_all_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_A_TIME", 2)
    RequestCount.objects.bulk_create(RequestCount(key_hash=f"{n}", count=1, ends_at=LONG_AGO) for n in range(5))
    assert dict(forgetting.forget(NOW))["request counts"] == 5
    assert RequestCount.objects.count() == 0


def test_the_command_tells_before_and_does(both: None) -> None:
    told = json.loads(run("prune", "--dry-run", "--json"))
    assert left() == [2] * 8
    assert set(told.values()) == {1} and list(told) == [kind.name for kind in forgetting.KINDS]
    assert "1 alerts" in run("prune") and left() == [1] * 8


def test_it_is_done_each_day(both: None) -> None:
    schedule = Schedule.objects.get(name="prune")
    assert (schedule.func, schedule.schedule_type) == ("watch.tasks.prune", Schedule.DAILY)
    assert "request_counts=1" in tasks.prune() and left() == [1] * 8
