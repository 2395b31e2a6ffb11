"""Who did or saw what stays told: written with the deed, read by staff, changed by nobody."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from orders import actors, flags, keys, trail
from orders.barring import BanKind
from orders.causes import Cause, FlagKind
from orders.journal import locked, write
from orders.models import AuditEntry, AuditKind, ChannelOrder, Service, SwitchName
from orders.operations import banning, pausing
from tests.factories import FlagFactory, OrderFactory, ServiceFactory
from tests.integration.staff import STEER, browser, page_of, seen, staff
from tests.integration.test_admin_shop import service_form

pytestmark = pytest.mark.django_db

LIST = "/admin/orders/auditentry/"
ADA = actors.staff("ada", role="operator")
PASSWORD = "Quietly7Walks"


def told(kind: AuditKind) -> list[tuple[str, str]]:
    return list(AuditEntry.objects.filter(kind=kind).order_by("pk").values_list("person", "words"))


def only(kind: AuditKind) -> AuditEntry:
    return AuditEntry.objects.get(kind=kind)


# It stands


@pytest.mark.parametrize("change", ["update", "delete", "save", "raw"])
def test_no_line_is_changed_or_taken_away(change: str) -> None:
    entry = trail.add(AuditKind.LOGIN, "logged in", actor=ADA)
    entry.words = "did nothing"
    rows = AuditEntry.objects.filter(pk=entry.pk)
    ways = {
        "update": lambda: rows.update(words="did nothing"),
        "delete": rows.delete,
        "save": entry.save,
        "raw": lambda: rows._raw_delete("default"),
    }
    with pytest.raises(IntegrityError, match="the trail is not changed"), transaction.atomic():
        ways[change]()
    assert only(AuditKind.LOGIN).words == "logged in"


def test_a_deed_and_its_line_are_there_together_or_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    order = FlagFactory().order
    monkeypatch.setattr("orders.journal.OrderEvent.objects.create", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        row = ChannelOrder.objects.get(pk=order.pk)
        write(row, row.state, Cause.STAFF_HAVE_LOOKED, ADA, {})
    assert not AuditEntry.objects.exists()


# What is on it


@pytest.mark.django_db(transaction=True)
def test_what_a_person_does_to_an_order_is_on_it_with_the_order() -> None:
    order = FlagFactory(kind=FlagKind.UNMINED).order
    flags.mark_seen(order.pk, actor=ADA)
    entry = only(AuditKind.DEED)
    assert (entry.person, entry.actor, entry.order_id) == ("ada", "staff:ada (operator)", order.pk)
    assert entry.facts["cause"] == Cause.STAFF_HAVE_LOOKED


@pytest.mark.django_db(transaction=True)
def test_what_the_server_and_buyers_do_is_in_the_journal_alone() -> None:
    order = OrderFactory(open=True)
    for actor in (actors.LSP, actors.BUYER, actors.node("02" * 33)):
        with locked(order.pk) as row:
            write(row, row.state, Cause.CLAIMED, actor, {})
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_deed_that_was_refused_is_on_it_with_the_reason() -> None:
    order = OrderFactory(open=True)
    client = browser(staff("bob", "change_channelorder", "view_channelorder"))
    client.post(STEER, {"deed": "retry", "order": [str(order.pk)]})
    entry = only(AuditKind.DEED_REFUSED)
    assert (entry.person, entry.order_id, entry.facts["deed"]) == ("bob", order.pk, "retry")
    client.post(STEER, {"deed": "retry", "order": [str(uuid4())]})
    assert AuditEntry.objects.filter(kind=AuditKind.DEED_REFUSED, order=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_pauses_and_bans_are_on_it_with_who_and_why() -> None:
    command = actors.command("root")
    pausing.pause(SwitchName.SALES, reason="fees", actor=command)
    pausing.resume(SwitchName.SALES, actor=ADA)
    assert told(AuditKind.SWITCH) == [("command:root", "sales paused: fees"), ("ada", "sales resumed")]
    ban = banning.add(BanKind.NODE, "02" + "ab" * 32, reason="spam", actor=ADA)
    banning.lift(ban.pk, actor=ADA)
    assert [words.rpartition(" ")[2] for _, words in told(AuditKind.BAN)] == ["spam", "lifted"]


def test_a_service_is_on_it_with_what_was_before_and_what_is_now(boss: Client) -> None:
    service = ServiceFactory(description="Large", base_fee_sat=1_000)
    path = f"/admin/orders/service/{service.pk}/change/"
    form = service_form(description="Large", base_fee_sat=5)
    boss.post(path, form)
    first = only(AuditKind.SERVICE)
    assert first.facts["base_fee_sat"] == [1_000, 5] and "id" not in first.facts and first.person == "alice"
    boss.post(path, form)
    assert AuditEntry.objects.filter(kind=AuditKind.SERVICE).count() == 1, "nothing was changed"
    boss.post(f"/admin/orders/service/{service.pk}/delete/", {"post": "yes"})
    assert not Service.objects.filter(pk=service.pk).exists()
    assert [words.rpartition(" ")[2] for _, words in told(AuditKind.SERVICE)] == ["changed", "deleted"]


def test_accounts_and_their_groups_are_on_it_and_no_password(boss: Client) -> None:
    form = {"username": "bob", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    boss.post("/admin/auth/user/add/", form)
    bob = User.objects.get(username="bob")
    group = Group.objects.create(name="night")
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    form = {"username": "bob", "is_staff": "on", "groups": [group.pk], **joined}
    boss.post(f"/admin/auth/user/{bob.pk}/change/", form)
    boss.post(f"/admin/auth/user/{bob.pk}/password/", {"password1": "Slowly8Swims", "password2": "Slowly8Swims"})
    entries = AuditEntry.objects.filter(kind=AuditKind.PERSON).order_by("pk")
    assert [entry.words.rpartition(" ")[2] for entry in entries] == ["added", "changed"]
    assert entries[1].facts["groups"] == [[], ["night"]] and entries[1].facts["is_staff"] == [False, True]
    assert told(AuditKind.PASSWORD) == [("alice", "set the password of bob anew")]
    assert not [word for word in (PASSWORD, "md5$", "Slowly") if word in str(list(AuditEntry.objects.values()))]


def test_a_groups_rights_are_on_it(boss: Client) -> None:
    group = Group.objects.create(name="night")
    boss.post(f"/admin/auth/group/{group.pk}/change/", {"name": "night", "permissions": [1]})
    before, after = only(AuditKind.GROUP).facts["permissions"]
    assert before == [] and len(after) == 1


def test_logins_are_on_it_good_bad_and_too_many(settings: Any) -> None:
    settings.LOGIN_RATE = "3/hour"
    User.objects.create_superuser("alice", password=PASSWORD)
    client = Client()

    def guess(name: str, password: str) -> None:
        client.post("/admin/login/", {"username": name, "password": password})

    guess("alice", PASSWORD)
    client.post("/admin/logout/")
    assert [told(kind) for kind in (AuditKind.LOGIN, AuditKind.LOGOUT)] == [
        [("alice", "logged in by password")],
        [("alice", "logged out")],
    ]
    client = Client(REMOTE_ADDR="203.0.113.9")
    for name in ("alice", "my-Password-1", "alice", "alice", "alice"):
        guess(name, "wrong")
    assert [words.rpartition(": ")[2] for _, words in told(AuditKind.LOGIN_REFUSED)] == [
        "alice", "no account of ours", "alice",
    ]  # fmt: skip
    assert len(told(AuditKind.LOGIN_THROTTLED)) == 1, "who is refused on and on fills no table"


def test_who_sees_an_orders_whole_id_is_on_it_and_who_does_not_is_not(boss: Client) -> None:
    order = OrderFactory(open=True)
    browser(staff("rita", "view_channelorder")).get(page_of(order))
    assert not AuditEntry.objects.filter(kind=AuditKind.SEEN).exists()
    boss.get(page_of(order))
    assert (only(AuditKind.SEEN).person, only(AuditKind.SEEN).order_id) == ("alice", order.pk)
    boss.get(f"/admin/orders/holdinvoice/{order.hold_invoice.pk}/change/") if order.invoice else None


def test_no_line_has_an_orders_whole_id() -> None:
    order = OrderFactory()
    entry = trail.add(
        AuditKind.EXPORT, f"of {order.pk}", actor=ADA, facts={"asked": f"q={order.pk}", "at": order.created_at}
    )
    assert str(order.pk) not in f"{entry.words}{entry.facts}"


# Who reads it


@pytest.fixture
def lines() -> ChannelOrder:
    order = OrderFactory(open=True)
    trail.add(AuditKind.LOGIN, "logged in", actor=ADA)
    trail.add(AuditKind.DEED, "tried again", actor=actors.staff("bob"), order_id=order.pk, facts={"fee": [1, 2]})
    trail.add(AuditKind.LOGIN_REFUSED, "wrong password", actor=None)
    return order


def listed(client: Client, **query: Any) -> set[str]:
    return {entry.words for entry in client.get(LIST, query).context["cl"].result_list}


def test_it_is_filtered_by_person_kind_and_order(lines: ChannelOrder, boss: Client) -> None:
    assert listed(boss, person="bob") == {"tried again"}
    assert listed(boss, kind__exact="login") == {"logged in"}
    assert listed(boss, about="order") == {"tried again"}
    assert listed(boss, q=keys.reference(lines.pk)) == listed(boss, q=str(lines.pk)[:8]) == {"tried again"}


def test_a_line_tells_what_was_and_what_is(lines: ChannelOrder, boss: Client) -> None:
    page = seen(boss.get(f"{LIST}{only(AuditKind.DEED).pk}/change/"))
    assert "fee 1 → 2" in page and "staff:bob" in page


def test_the_command_tells_it_to_people_and_to_programs(lines: ChannelOrder, capsys: Any) -> None:
    call_command("audit")
    assert [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "staff:ada (operator)  logged in: logged in",
        f"staff:bob  deed on an order: tried again  order {str(lines.pk)[:8]}",
        "nobody known  login refused: wrong password",
    ]
    call_command("audit", "--json", "--person", "bob", "--since", "1h")
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["facts"] == {"fee": [1, 2]} and str(lines.pk) not in line
    call_command("audit", "--since", (timezone.now() + timedelta(hours=1)).isoformat())
    assert capsys.readouterr().out == "There is no such line.\n"
    with pytest.raises(CommandError, match="must be one of"):
        call_command("audit", "--kind", "anything")
