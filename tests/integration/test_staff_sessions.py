"""Sessions of staff end: by themselves, and where their person's password changes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.integration.authenticator import CODE, PASSWORD, enrolled, is_in, logged_in, password

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_superuser("alice", password=PASSWORD)


def test_the_password_can_be_changed_and_the_other_sessions_end(alice: User) -> None:
    secret, codes = enrolled(alice)
    client, other = logged_in(secret), Client()
    password(other)
    other.post(CODE, {"code": codes[0]})
    assert is_in(other)
    form = {"old_password": PASSWORD, "new_password1": "Slowly8Swims", "new_password2": "Slowly8Swims"}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert is_in(client) and not is_in(other)


@pytest.mark.parametrize("name", ["STAFF_IDLE_SECONDS", "STAFF_SESSION_SECONDS"])
def test_a_session_ends(alice: User, name: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STAFF_IDLE_SECONDS, settings.STAFF_SESSION_SECONDS = 1000, 3000
    client, began = Client(), time.time()
    password(client)

    def after(seconds: int) -> bool:
        monkeypatch.setattr("lsp_site.sessions.time.time", lambda: began + seconds)
        return is_in(client)

    if name == "STAFF_IDLE_SECONDS":
        assert [after(900), after(1800), after(2801)] == [True, True, False]
    else:
        assert [after(seconds) for seconds in (900, 1800, 2700, 2990, 3001)] == [True] * 4 + [False]
