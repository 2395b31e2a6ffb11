"""What commands do that would be on the trail had a page done it, is on it: with the user of the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands

from lsp_site.management.commands import changepassword
from orders import trail
from orders.management.commands.retry_give_up import os_user
from orders.models import AuditEntry, AuditKind
from tests.factories import OrderFactory

pytestmark = pytest.mark.django_db

PASSWORD = "Quietly7Walks"
ME = f"command:{os_user()}"


def told() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("kind", "person", "words"))


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What somebody types when a password is asked for."""

    def typing(*answers: str) -> None:
        left = iter(answers)
        monkeypatch.setattr(changepassword.Command, "_get_pass", lambda *_: next(left))

    return typing


@pytest.fixture
def no_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line can be written."""

    def fails(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(trail, "add", fails)


def make_ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", "--username", "ann", "--email", "", stdout=None, verbosity=0)


@pytest.mark.parametrize(("password", "why"), [("12345", "too short"), ("ann-ann-ann-ann", "similar to the username")])
def test_nor_does_it_take_a_weak_password_where_it_asks_for_none(
    monkeypatch: pytest.MonkeyPatch, password: str, why: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    with pytest.raises(CommandError, match=why):
        call_command("createsuperuser", "--noinput", "--username", "ann-ann-ann-ann", "--email", "", verbosity=0)
    assert not User.objects.exists()


def test_a_superuser_that_a_command_makes_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make_ann(monkeypatch)
    ann = User.objects.get()
    assert ann.is_superuser and ann.check_password(PASSWORD)
    assert told() == [(AuditKind.PERSON, ME, "user ann added")]
    assert AuditEntry.objects.get().facts == {"number": ann.pk, "is_superuser": [False, True]}
    with pytest.raises(CommandError, match="already taken"):
        make_ann(monkeypatch)
    assert len(told()) == 1


def test_a_password_that_a_command_sets_is_on_it_and_not_what_it_is(types: Callable[..., None]) -> None:
    user = User.objects.create_user("ann", password="Before1Now", is_staff=True)
    types("short", "short", "Quietly7Walk", PASSWORD, PASSWORD, PASSWORD)
    call_command("changepassword", "ann")
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert told() == [(AuditKind.PASSWORD, ME, "set the password of ann anew")]
    assert "Quietly" not in str(list(AuditEntry.objects.values()))


def test_who_types_nothing_good_changes_nothing(types: Callable[..., None]) -> None:
    user = User.objects.create_user("ann", password=PASSWORD, is_staff=True)
    types("a", "b", "a", "b", "short", "short")
    with pytest.raises(CommandError, match="after 3 attempts"):
        call_command("changepassword", "ann")
    with pytest.raises(CommandError, match="does not exist"):
        call_command("changepassword", "bob")
    user.refresh_from_db()
    assert user.check_password(PASSWORD) and not told()


@pytest.mark.usefixtures("no_trail")
def test_what_cannot_be_noted_is_not_done(
    monkeypatch: pytest.MonkeyPatch, types: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        make_ann(monkeypatch)
    assert not User.objects.exists()
    bob = User.objects.create_user("bob", password="Before1Now")
    types(PASSWORD, PASSWORD)
    with pytest.raises(ZeroDivisionError):
        call_command("changepassword", "bob")
    bob.refresh_from_db()
    assert not bob.check_password(PASSWORD)
    file = tmp_path / "books.csv"
    with pytest.raises(ZeroDivisionError):
        call_command("check_books", "--csv", str(file))
    assert not file.exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("check_books", "--csv", "-"), "check_books --csv"),
        (("figures", "--json", "--from", "2026-01-01"), "figures --json"),
        (("orders", "--json", "--state", "open"), "orders --json"),
        (("refund", "--list", "--json", "--state", "due"), "refund --list --json"),
    ],
)
def test_what_a_command_gives_to_be_taken_away_is_on_it(command: tuple[str, ...], words: str, capsys: Any) -> None:
    call_command(*command)
    assert told() == [(AuditKind.EXPORT, ME, f"manage.py {words}")]
    [asked] = AuditEntry.objects.values_list("facts__asked", flat=True)
    assert all(any(value in given for given in asked.values()) for value in command[2:] if not value.startswith("--"))


@pytest.mark.parametrize("command", ["figures", "orders"])
def test_what_people_read_at_their_terminal_is_no_export(command: str, capsys: Any) -> None:
    call_command(command)
    assert not told()


def test_an_order_that_a_command_shows_was_seen_as_by_its_page(capsys: Any) -> None:
    order = OrderFactory(open=True)
    call_command("order", str(order.pk))
    [entry] = AuditEntry.objects.all()
    assert (entry.kind, entry.person, entry.order_id) == (AuditKind.SEEN, ME, order.pk)


def test_djangos_own_commands_are_not_what_runs() -> None:
    assert {get_commands()[name] for name in ("createsuperuser", "changepassword")} == {"lsp_site"}
