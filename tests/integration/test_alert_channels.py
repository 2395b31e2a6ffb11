"""Who hears of what, and when: a mute always ends, a loss waits for no morning, the day is told of once."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test import Client
from django.utils import timezone
from django_q.models import Schedule

from orders import actors
from orders.causes import FlagKind
from orders.errors import InvalidField
from orders.flags import ENDS
from orders.models import Alert, AlertMute, AlertRules, AuditEntry, AuditKind
from orders.models.alert import RULES
from tests.factories import FlagFactory, OrderFactory
from tests.integration.staff import browser, seen, staff
from tests.integration.test_alerting import Receiver
from watch import alerting, channels, hearing, muting, summary

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")
LOSS, OTHER = FlagKind.DOUBLE_SPENT, FlagKind.UNMINED
NIGHT = datetime(2030, 1, 15, 2, 30, tzinfo=UTC)


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    """Two webhooks on this machine."""
    two = [Receiver(), Receiver()]
    threads = [Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01}) for one in two]
    for thread in threads:
        thread.start()
    yield two
    for one, thread in zip(two, threads, strict=True):
        one.server.shutdown()
        thread.join()
        one.server.server_close()


@pytest.fixture
def told(receivers: list[Receiver], settings: Any) -> list[Receiver]:
    settings.ALERT_URL = tuple(one.url for one in receivers)
    settings.PUBLIC_URL = "https://lsp.example"
    return receivers


def flagged(kind: FlagKind) -> None:
    FlagFactory(order=OrderFactory(open=True), kind=kind, words=f"It is {kind}.")
    alerting.record([], alerting._flagged(), timezone.now())


def mute(kind: str = "", channel: str = "", **ends: float) -> AlertMute:
    until = timezone.now() + timedelta(**(ends or {"hours": 1}))
    return muting.mute(kind, channel, until=until, reason="at night", actor=ADA)


def messages(receiver: Receiver) -> str:
    return "\n".join(message["message"] for message in receiver.messages)


# Mutes


def test_what_is_muted_on_one_channel_is_told_on_the_other(told: list[Receiver]) -> None:
    mute(f"flag:{OTHER}", channels.channels()[0].key)
    flagged(OTHER)
    assert alerting._tell() == 1
    assert told[0].messages == [] and "It is unmined." in messages(told[1])
    assert Alert.objects.get().told_on == "2: json"


def test_what_is_muted_everywhere_is_told_when_the_mute_is_over(told: list[Receiver]) -> None:
    row = mute(f"flag:{OTHER}")
    flagged(OTHER)
    assert alerting._tell() == 0
    AlertMute.objects.filter(pk=row.pk).update(
        made_at=timezone.now() - timedelta(hours=2), until=timezone.now() - timedelta(seconds=1)
    )
    assert alerting._tell() == 1 and "It is unmined." in messages(told[0])


def test_a_channel_that_was_muted_while_another_took_it_is_told_when_its_mute_is_over(told: list[Receiver]) -> None:
    row = mute(channel=channels.channels()[0].key)
    flagged(LOSS)
    assert [alerting._tell(), alerting._tell()] == [1, 0]
    first = Alert.objects.get().sent_at
    muting.lift(row.pk, actor=ADA)
    for told[0].answer, heard in ((500, 0), (200, 1), (200, 0)):
        assert alerting._tell() == heard
    assert "It is double_spent." in messages(told[0]) and len(told[1].messages) == 1
    assert Alert.objects.get(told_on="2: json, 1: json").sent_at == first


def test_control_of_what_is_over_nobody_hears_and_who_took_nothing_unmuted_not_again(told: list[Receiver]) -> None:
    row = mute(channel=channels.channels()[0].key)
    flagged(LOSS)
    alerting._tell()
    alerting.record([], {}, timezone.now())
    muting.lift(row.pk, actor=ADA)
    told[0].answer = 500
    flagged(OTHER)
    assert alerting._tell() > 0 == alerting._tell()


def test_what_so_many_channels_took_that_one_more_cannot_be_noted_is_not_told_for_ever(told: list[Receiver]) -> None:
    row = mute(channel=channels.channels()[0].key)
    flagged(LOSS)
    alerting._tell()
    Alert.objects.update(told_on=", ".join(f"{n}: json" for n in range(10, 29)) + ", 2: json")
    muting.lift(row.pk, actor=ADA)
    assert alerting._tell() == 0 and told[0].messages == []


def test_a_mute_that_is_lifted_keeps_nothing_back(told: list[Receiver]) -> None:
    row = mute()
    flagged(OTHER)
    muting.lift(row.pk, actor=ADA)
    assert alerting._tell() == 1


def test_a_mute_of_one_kind_keeps_no_other_back(told: list[Receiver]) -> None:
    mute(f"flag:{OTHER}")
    mute(hearing.CHECK)
    flagged(LOSS)
    assert alerting._tell() == 1


@pytest.mark.parametrize("kind", ["", hearing.FLAG, hearing.CHECK, "check:books", f"flag:{LOSS}"])
def test_a_loss_is_silenced_for_a_day_at_most(kind: str) -> None:
    mute(kind, hours=23)
    with pytest.raises(InvalidField, match="1 day at most: what loses money"):
        mute(kind, hours=25)


def test_nothing_is_silenced_for_ever() -> None:
    mute(f"flag:{OTHER}", days=29)
    with pytest.raises(InvalidField, match="30 days at most"):
        mute(f"flag:{OTHER}", days=31)
    with pytest.raises(InvalidField, match="in the future"):
        mute(hours=-1)
    with pytest.raises(IntegrityError):
        AlertMute.objects.create(reason="x", made_at=timezone.now(), made_by="x", until=None)


def test_what_no_state_of_an_order_ends_is_a_loss() -> None:
    unending = {f"flag:{kind}" for kind, ends in ENDS.items() if not ends}
    assert unending | {"check:books", f"flag:{LOSS}"} == hearing.LOSSES


def test_the_panel_says_that_something_is_muted(boss: Client) -> None:
    assert "alerts muted" not in seen(boss.get("/admin/"))
    mute()
    assert "alerts muted 1 mute stands" in seen(boss.get("/admin/"))


# Quiet hours


@pytest.mark.parametrize(
    ("begins", "ends", "zone", "quiet"),
    [
        (time(22), time(6), "UTC", True),
        (time(1), time(3), "UTC", True),
        (time(3), time(22), "UTC", False),
        (time(22), time(6), "Asia/Tokyo", False),  # half past eleven there
        (time(11), time(12), "Asia/Tokyo", True),
        (time(2, 30), time(3), "UTC", True),
        (time(1), time(2, 30), "UTC", False),
        (None, None, "UTC", False),
    ],
)
def test_hours_are_quiet_by_the_clock_of_their_zone(begins: Any, ends: Any, zone: str, quiet: bool) -> None:
    assert hearing.is_quiet(AlertRules(quiet_from=begins, quiet_until=ends, zone=zone), NIGHT) is quiet


def all_day(**more: Any) -> None:
    AlertRules.objects.all().delete()
    hour = timezone.now().hour
    begins, ends = time((hour - 1) % 24), time((hour + 2) % 24)
    AlertRules.objects.create(pk=RULES, quiet_from=begins, quiet_until=ends, **more)


def test_in_quiet_hours_losses_alone_are_told_and_the_rest_afterwards(told: list[Receiver]) -> None:
    all_day()
    flagged(OTHER)
    flagged(LOSS)
    assert alerting._tell() == 1 and "It is double_spent." in messages(told[0])
    AlertRules.objects.update(quiet_from=None, quiet_until=None)
    assert alerting._tell() == 1 and "It is unmined." in messages(told[0])


# A test


def test_a_channel_is_tested_from_the_admin(told: list[Receiver], boss: Client) -> None:
    page = seen(boss.get("/admin/orders/alert/"))
    assert "1: json" in page and "2: json" in page and "hush" not in page
    key = channels.channels()[1].key
    said = seen(boss.post("/admin/orders/alert/test/", {"channel": key}, follow=True))
    assert "Channel 2: json has taken the test" in said
    assert told[0].messages == [] and "This is a test" in messages(told[1])
    told[1].answer = 500
    assert "has not taken it" in seen(boss.post("/admin/orders/alert/test/", {"channel": key}, follow=True))
    assert AuditEntry.objects.filter(kind=AuditKind.ALERTS).count() == 2


def test_a_channel_that_does_not_answer_keeps_nobody_waiting(
    told: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()
    monkeypatch.setattr(channels, "deliver", lambda *_: over.wait(30))
    began = clock.monotonic()
    assert channels.tried(channels.channels()[0], "a", "b", patience_seconds=0.1) is None
    assert clock.monotonic() - began < 5
    over.set()


def test_the_key_of_a_channel_says_nothing_of_its_url(told: list[Receiver], settings: Any) -> None:
    first, second = channels.channels()
    assert first.key != second.key and "hush" not in first.key + first.label
    settings.ALERT_URL = (settings.ALERT_URL[1], settings.ALERT_URL[0])
    assert [channel.key for channel in channels.channels()] == [second.key, first.key]


# In the admin


def mute_form(**changes: Any) -> dict[str, Any]:
    until = timezone.now() + timedelta(hours=5)
    form = {
        "kind": "",
        "channel": "",
        "until_0": f"{until:%Y-%m-%d}",
        "until_1": f"{until:%H:%M:%S}",
        "reason": "night",
    }
    return {**form, **changes}


def test_staff_mute_and_lift_in_the_admin(told: list[Receiver], boss: Client) -> None:
    boss.post("/admin/orders/alertmute/add/", mute_form(kind=f"flag:{OTHER}", channel=channels.channels()[0].key))
    row = AlertMute.objects.get()
    assert row.made_by == "staff:alice" and "flag: funding unmined, to channel 1: json" in seen(
        boss.get("/admin/orders/alert/")
    )
    boss.post("/admin/orders/alertmute/", {"action": "lift", "_selected_action": row.pk})
    row.refresh_from_db()
    assert row.lifted_by == "staff:alice"
    assert boss.get(f"/admin/orders/alertmute/{row.pk}/change/").status_code == 200


def test_a_mute_that_is_too_long_is_told_beside_its_field(boss: Client) -> None:
    later = timezone.now() + timedelta(days=3)
    page = seen(boss.post("/admin/orders/alertmute/add/", mute_form(until_0=f"{later:%Y-%m-%d}")))
    assert "1 day at most" in page and not AlertMute.objects.exists()


def test_rules_are_changed_and_the_trail_has_what_was_before(boss: Client) -> None:
    assert boss.get("/admin/orders/alertrules/").status_code == 200
    form = {"quiet_from": "22:00", "quiet_until": "07:00", "summary_at": "08:00", "zone": "Europe/Berlin"}
    boss.post(f"/admin/orders/alertrules/{RULES}/change/", form)
    rules = AlertRules.objects.get()
    assert (rules.quiet_from, rules.zone) == (time(22), "Europe/Berlin")
    facts = AuditEntry.objects.get(kind=AuditKind.ALERTS).facts
    assert facts["zone"] == ["UTC", "Europe/Berlin"] and facts["quiet_from"] == [None, "22:00:00"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zone": "Middle/Earth"}, "No such time zone"),
        ({"quiet_until": ""}, "a beginning and an end"),
        ({"quiet_until": "22:00"}, "all day"),
    ],
)
def test_rules_that_make_no_sense_are_told_beside_their_field(boss: Client, changes: dict[str, str], said: str) -> None:
    boss.get("/admin/orders/alertrules/")
    form = {"quiet_from": "22:00", "quiet_until": "07:00", "summary_at": "", "zone": "UTC", **changes}
    assert said in seen(boss.post(f"/admin/orders/alertrules/{RULES}/change/", form))


def test_who_may_look_alone_tests_and_mutes_nothing(told: list[Receiver]) -> None:
    client = browser(staff("rita", "view_alert", "view_alertmute", "view_alertrules"))
    assert "Send a test" not in seen(client.get("/admin/orders/alert/"))
    assert client.post("/admin/orders/alert/test/", {"channel": channels.channels()[0].key}).status_code == 403
    assert client.post("/admin/orders/alertmute/add/", mute_form()).status_code == 403
    assert told[0].messages == [] and not AlertMute.objects.exists()


# The day


def rules(at: time | None = time(0), **more: Any) -> AlertRules:
    AlertRules.objects.all().delete()
    return AlertRules.objects.create(pk=RULES, summary_at=at, **more)


def test_the_day_is_told_of_once(told: list[Receiver]) -> None:
    rules()
    yesterday = timezone.now() - timedelta(days=1)
    OrderFactory(open=True, paid_at=yesterday, opened_at=yesterday, lsp_balance_sat=1_000_000, client_balance_sat=0)
    flagged(OTHER)
    assert [summary.send_summary() for _ in range(3)] == [1, 0, 0]
    [message] = told[0].messages
    assert message["title"] == f"LSP lsp.example: the day of {yesterday:%Y-%m-%d}"
    assert "Paid: 1 orders" in message["message"] and "Opened: 1 channels, 1,000,000 sat" in message["message"]
    assert "- 1 × funding unmined" in message["message"]


def test_two_workers_tell_of_the_day_once(told: list[Receiver]) -> None:
    rules()

    def ask(_: int) -> int:
        try:
            return summary.send_summary()
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask, range(12))) == 1
    assert len(told[0].messages) == 1


def test_a_worker_that_read_the_rules_before_the_other_sent_tells_nothing(
    told: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock alone would not do: it is free again when the slower one asks for it."""
    rules()
    stale = AlertRules.objects.get()
    assert summary.send_summary() == 1
    monkeypatch.setattr(summary, "is_due", lambda *_: True)
    monkeypatch.setattr(AlertRules.objects, "first", lambda: stale, raising=False)
    assert summary.send_summary() == 0 and len(told[0].messages) == 1


def test_a_summary_that_reached_nobody_is_tried_again(told: list[Receiver]) -> None:
    rules()
    for receiver in told:
        receiver.answer = 500
    assert summary.send_summary() == 0
    for receiver in told:
        receiver.answer = 200
    assert summary.send_summary() == 1


@pytest.mark.parametrize(
    ("at", "zone", "summed_up", "due"),
    [
        (time(2, 30), "UTC", None, True),
        (time(2, 31), "UTC", None, False),
        (time(11), "Asia/Tokyo", "2030-01-14", True),
        (time(11), "Asia/Tokyo", "2030-01-15", False),
        (time(20), "America/New_York", "2030-01-13", True),  # half past nine in the evening of the 14th
        (time(20), "America/New_York", "2030-01-14", False),
        (None, "UTC", None, False),
    ],
)
def test_it_is_due_once_a_day_by_the_clock_of_its_zone(at: Any, zone: str, summed_up: str | None, due: bool) -> None:
    day = datetime.fromisoformat(summed_up).date() if summed_up else None
    assert summary.is_due(AlertRules(summary_at=at, zone=zone, summed_up=day), NIGHT) is due


def test_nobody_who_wants_none_is_told(told: list[Receiver], settings: Any) -> None:
    rules(at=None)
    assert summary.send_summary() == 0
    rules()
    settings.ALERT_URL = ()
    assert summary.send_summary() == 0


def test_a_day_on_which_nothing_was_is_told_of_too(told: list[Receiver]) -> None:
    rules()
    summary.send_summary()
    assert "Paid: 0 orders" in messages(told[0]) and "Nothing needs you." in messages(told[0])


def test_it_is_scheduled() -> None:
    from importlib import import_module

    from django.apps import apps

    import_module("orders.migrations.0034_who_did_what").schedule(apps, None)
    assert Schedule.objects.get(name="summary").func == "watch.tasks.send_summary"


def test_a_user_of_the_admin_is_a_person_to_the_trail(boss: Client) -> None:
    mute()
    assert AuditEntry.objects.get(kind=AuditKind.ALERTS).person == "ada"
    assert User.objects.filter(username="alice").exists()
