"""Alerts: told once, told again only after it was right in between, and never in the way of money."""

from __future__ import annotations

import json
import logging
import pydoc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from threading import Thread
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from lightning.errors import NodeUnavailable
from orders import actors, flags
from orders.causes import FlagKind
from orders.models import Alert, ChannelOrder
from orders.reconcile import beat
from tests.factories import OrderFactory, SnapshotFactory
from tests.integration.test_doctor import WellNode
from watch import alerting, tasks
from watch.doctor import Finding, Health

pytestmark = pytest.mark.django_db(transaction=True)


class Receiver:
    """A webhook on this machine."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answer = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.answer == 200:
                    receiver.messages.append(body)
                self.send_response(receiver.answer)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/hush-hush"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    thread = Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


@pytest.fixture
def well(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Any) -> WellNode:
    """A server with which nothing is wrong, its node, and somebody to tell."""
    node = WellNode()
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    settings.LND_GRPC, settings.LND_NETWORK = "127.0.0.1:10009", "signet"
    settings.PUBLIC_URL, settings.ALERT_URL = "https://lsp.example", (receiver.url,)
    SnapshotFactory()
    beat("reconcile")
    beat("streams")
    beat("openings")
    return node


def flagged(reason: str = "Look at it.") -> ChannelOrder:
    return OrderFactory(open=True, flagged=reason)


def test_where_nothing_is_wrong_nobody_is_told(well: WellNode, receiver: Receiver) -> None:
    assert alerting.watch() == 0
    assert receiver.messages == [] and not Alert.objects.exists()


def test_a_failure_is_told_once_until_it_clears(well: WellNode, receiver: Receiver) -> None:
    well.changes = {"uris": ()}
    assert [alerting.watch(), alerting.watch()] == [1, 0]
    (message,) = receiver.messages
    assert message["title"].startswith("LSP lsp.example: addresses: none is advertised")
    assert "Set externalip" in message["message"]
    well.changes = {}
    alerting.watch()
    alert = Alert.objects.get()
    assert alert.sent_at is not None and alert.cleared_at is not None
    well.changes = {"uris": ()}
    alerting.watch()
    assert len(receiver.messages) == 2 and Alert.objects.count() == 2


def test_an_order_that_needs_a_person_is_told_once_for_each_reason(well: WellNode, receiver: Receiver) -> None:
    order = flagged()
    assert [alerting.watch(), alerting.watch()] == [1, 0]
    flags.flag(order.pk, FlagKind.UNMINED, "Look at something else.")
    assert [alerting.watch(), alerting.watch()] == [1, 0]
    assert "Look at something else." in receiver.messages[1]["message"]
    assert Alert.objects.filter(cleared_at=None).count() == 2  # neither hides the other
    flags.mark_seen(order.pk, actor=actors.staff("ada"), only=FlagKind.UNMINED)
    alerting.watch()
    [stands] = Alert.objects.filter(cleared_at=None)
    assert "Look at it." in stands.message
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    alerting.watch()
    assert not Alert.objects.filter(cleared_at=None).exists()


def test_a_flag_that_is_raised_again_is_told_again(well: WellNode, receiver: Receiver) -> None:
    order = flagged()
    alerting.watch()
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    flags.flag(order.pk, FlagKind.OTHER, "Look at it.")
    assert alerting.watch() == 1
    assert Alert.objects.filter(cleared_at=None).count() == 1


def test_a_whole_order_id_never_leaves_the_house(well: WellNode, receiver: Receiver) -> None:
    """Who knows the id of a paid order may name the node that gets its channel."""
    order = flagged()
    alerting.watch()
    assert str(order.pk) not in json.dumps(receiver.messages)
    assert not [alert for alert in Alert.objects.all() if str(order.pk) in alert.key + alert.message]
    assert str(order.pk)[:8] in receiver.messages[0]["message"]


def test_all_that_is_new_goes_out_in_one_message(well: WellNode, receiver: Receiver) -> None:
    for number in range(25):
        flagged(f"Reason {number}.")
    assert alerting.watch() == 25
    (message,) = receiver.messages
    assert message["title"] == "LSP lsp.example: 25 alerts"
    assert message["message"].endswith("… and 5 more")


def test_what_was_not_delivered_is_told_with_the_next_round(
    well: WellNode, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    flagged()
    receiver.answer = 500
    with caplog.at_level(logging.WARNING):
        assert alerting.watch() == 0
    assert "not delivered" in caplog.text and "hush" not in caplog.text
    assert Alert.objects.get().sent_at is None
    receiver.answer = 200
    assert alerting.watch() == 1


def test_one_receiver_that_is_reached_is_enough(well: WellNode, receiver: Receiver, settings: Any) -> None:
    settings.ALERT_URL = ("nosuch://hush", receiver.url)
    flagged()
    assert alerting.watch() == 1


def test_a_url_that_cannot_be_read_is_logged_without_its_secret(
    well: WellNode, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALERT_URL = ("nosuch://hush:hush@hush",)
    flagged()
    assert alerting.watch() == 0
    assert "nosuch://)" in caplog.text and "hush" not in caplog.text


def test_a_check_that_was_not_made_clears_nothing(well: WellNode, receiver: Receiver) -> None:
    well.changes = {"uris": ()}
    alerting.watch()
    well.fails = NodeUnavailable("connection refused")
    assert alerting.watch() == 1  # the node is away; its address was not looked at
    well.fails = None
    assert alerting.watch() == 0
    assert list(Alert.objects.filter(cleared_at=None).values_list("key", flat=True)) == ["check:addresses"]


def test_without_a_url_nothing_is_looked_at(well: WellNode, settings: Any) -> None:
    settings.ALERT_URL = ()
    flagged()
    assert alerting.watch() == 0
    assert well.calls == [] and not Alert.objects.exists()


def test_two_rounds_at_once_tell_everything_once(well: WellNode, receiver: Receiver) -> None:
    flagged()
    inner: list[int] = []

    def beside(_: str) -> None:
        def other() -> None:
            inner.append(alerting.watch())
            connection.close()

        if not inner:
            inner.append(-1)
            thread = Thread(target=other)
            thread.start()
            thread.join(30)

    well.on_call = beside
    assert alerting.watch() == 1
    assert inner == [-1, 0] and len(receiver.messages) == 1


def test_a_defect_is_logged_and_breaks_no_task(
    well: WellNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerting, "watch", lambda: 1 / 0)
    assert tasks.send_alerts() == "failed"
    assert "ZeroDivisionError" in caplog.text


def test_staff_read_what_failed(well: WellNode, boss: Client) -> None:
    flagged()
    alerting.watch()
    assert "needs a person: Look at it." in boss.get("/admin/orders/alert/").content.decode()
    assert boss.get(f"/admin/orders/alert/{Alert.objects.get().pk}/change/").status_code == 200


def test_no_order_is_touched(well: WellNode) -> None:
    order = flagged()
    before = ChannelOrder.objects.filter(pk=order.pk).values().get()
    tasks.send_alerts()
    assert ChannelOrder.objects.filter(pk=order.pk).values().get() == before


def test_warnings_are_for_the_doctor_and_not_for_the_night(well: WellNode, receiver: Receiver) -> None:
    alerting.record([Finding("coins", Health.WARNING, "few", "send some")], {}, timezone.now())
    assert not Alert.objects.exists()


def test_it_is_scheduled_in_a_task_of_its_own_with_a_limit() -> None:
    Schedule.objects.all().delete()
    import_module("orders.migrations.0003_switches_and_alerts").make(apps, None)
    import_module("orders.migrations.0010_schedule_of_alerts").rename(apps, None)
    scheduler()
    (task,) = (queued.task for queued in OrmQ.objects.all())
    assert (task["func"], task["timeout"], task.get("kwargs")) == ("watch.tasks.send_alerts", 60, {})
    assert pydoc.locate(task["func"]) is tasks.send_alerts, "as the queue finds it"
    assert Schedule.objects.get().minutes == 1


def test_the_command_sends_a_test_message_or_says_why_not(
    well: WellNode, receiver: Receiver, settings: Any, capsys: Any
) -> None:
    call_command("doctor", "--test-alert")
    assert receiver.messages[0]["message"] == "This is a test: alerts reach you."
    receiver.answer = 500
    with pytest.raises(CommandError, match="Nobody was reached"):
        call_command("doctor", "--test-alert")
    settings.ALERT_URL = ()
    with pytest.raises(CommandError, match="not set"):
        call_command("doctor", "--test-alert")
