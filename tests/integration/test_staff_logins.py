"""Guesses at passwords of staff: refused before anything is hashed, and no stranger keeps anybody out for ever."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from lsp_site.logins import ADDRESSES_OF_AN_ACCOUNT
from orders.models import RequestCount
from tests.integration.staff import seen

LOGIN = "/admin/login/"
PASSWORD = "Quietly7Walks"

pytestmark = pytest.mark.django_db


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed since."""
    User.objects.create_superuser("alice", password=PASSWORD)
    User.objects.create_superuser("bob", password=PASSWORD)
    passwords: list[str] = []
    encode = MD5PasswordHasher.encode

    def noted(self: Any, password: str, salt: str) -> Any:
        passwords.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", noted)
    return passwords


@pytest.fixture(autouse=True)
def few(settings: Any) -> None:
    settings.LOGIN_RATE = "3/hour"


def browser(address: str = "203.0.113.1") -> Client:
    return Client(REMOTE_ADDR=address)


def guess(client: Client, name: str = "alice", password: str = "wrong") -> Any:
    return client.post(LOGIN, {"username": name, "password": password})


def guess_from_everywhere(name: str = "alice") -> list[int]:
    """As many guesses as an account may have, from as many addresses as that takes, and one more."""
    clients = [browser(f"198.51.100.{n}") for n in range(ADDRESSES_OF_AN_ACCOUNT) for _ in range(3)]
    return [guess(client, name).status_code for client in [*clients, browser("198.51.100.99")]]


def test_found_b4_a_guess_too_many_is_refused_before_it_is_hashed(hashed: list[str]) -> None:
    client = browser()
    assert [guess(client).status_code for _ in range(3)] == [200] * 3
    assert len(hashed) == 3
    answer = guess(client)
    assert (answer.status_code, len(hashed)) == (429, 3)
    assert 3500 < int(answer["Retry-After"]) <= 3600


def test_found_b4_the_page_says_how_long_to_wait(hashed: list[str]) -> None:
    client = browser()
    for _ in range(4):
        answer = guess(client)
    answer.status_code = 200  # for the reader below
    assert "Too many attempts. Wait 60 minutes, then try again." in seen(answer)
    RequestCount.objects.update(ends_at=timezone.now() + timedelta(seconds=30))
    (answer := guess(client)).status_code = 200
    assert re.search("Wait 3[0-9] seconds", seen(answer))
    assert 'name="username"' in answer.content.decode()


def test_found_b4_an_account_that_is_not_there_is_answered_in_the_same_way(hashed: list[str]) -> None:
    answers = {}
    for n, name in enumerate(("alice", "nobody")):
        client = browser(f"203.0.113.{n}")
        pages = [guess(client, name).content.decode().replace(name, "NAME") for _ in range(4)]
        answers[name] = [re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page) for page in pages]
    assert answers["alice"] == answers["nobody"] and answers["alice"][3]
    assert len(hashed) == 6


def test_found_b4_the_right_password_is_no_key_to_the_window(hashed: list[str]) -> None:
    """Else who guesses on would learn that he had guessed right."""
    client = browser()
    for _ in range(3):
        guess(client)
    assert guess(client, password=PASSWORD).status_code == 429
    assert hashed == ["wrong"] * 3


def test_found_b4_one_stranger_alone_keeps_nobody_out(hashed: list[str]) -> None:
    stranger = browser()
    assert [guess(stranger).status_code for _ in range(50)].count(429) == 47
    assert guess(browser("203.0.113.2"), password=PASSWORD).status_code == 302


def test_found_b4_an_account_is_not_guessed_from_many_addresses_without_end(hashed: list[str]) -> None:
    assert guess_from_everywhere() == [200] * 15 + [429]
    assert guess_from_everywhere("Alice ")[-1] == 429, "however its name is written"
    assert guess(browser("203.0.113.2"), "bob", PASSWORD).status_code == 302


def test_found_b4_whoever_was_kept_out_is_let_in_when_the_window_is_over(hashed: list[str]) -> None:
    guess_from_everywhere()
    newcomer = browser("203.0.113.2")
    assert guess(newcomer, password=PASSWORD).status_code == 429
    RequestCount.objects.update(ends_at=timezone.now() - timedelta(hours=1))
    assert guess(newcomer, password=PASSWORD).status_code == 302


def test_found_b4_a_browser_that_has_logged_in_before_is_not_kept_out_by_strangers(hashed: list[str]) -> None:
    alices = browser("203.0.113.2")
    assert guess(alices, password=PASSWORD).status_code == 302
    alices.post("/admin/logout/")
    guess_from_everywhere()
    for _ in range(5):
        guess(browser("203.0.113.2"), "bob")  # her own address too
    assert guess(alices, password=PASSWORD).status_code == 302


def test_found_b4_a_known_browser_has_no_more_guesses_than_a_stranger(hashed: list[str]) -> None:
    alices = browser()
    guess(alices, password=PASSWORD)
    alices.post("/admin/logout/")
    assert [guess(alices).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [guess(alices, "bob").status_code for _ in range(3)][-1] == 429, "it is known to alice's account alone"


def test_found_b4_a_cookie_that_we_did_not_write_makes_nobody_known(hashed: list[str]) -> None:
    alices = browser()
    guess(alices, password=PASSWORD)
    mark = alices.cookies["known_browser"]
    assert mark["httponly"] and mark["path"] == "/admin/" and "alice" not in mark.value
    forged = browser("203.0.113.3")
    forged.cookies["known_browser"] = mark.value[:-1] + ("A" if mark.value[-1] != "A" else "B")
    assert [guess(forged).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert guess(browser("203.0.113.3")).status_code == 429, "it counted for its address"


def test_found_b4_a_wrong_guess_makes_no_browser_known(hashed: list[str]) -> None:
    client = browser()
    guess(client)
    assert "known_browser" not in client.cookies
    guess(client, password=PASSWORD)
    before = client.cookies["known_browser"].value
    guess(client, "bob")  # while alice is logged in
    assert client.cookies["known_browser"].value == before


def test_found_b4_the_old_password_is_not_guessed_at_a_browser_left_logged_in(hashed: list[str]) -> None:
    client = browser()
    client.force_login(User.objects.get(username="alice"))
    form = {"old_password": "wrong", "new_password1": "Slowly8Swims", "new_password2": "Slowly8Swims"}
    statuses = [client.post("/admin/password_change/", form).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert hashed.count("wrong") == 3


def test_the_password_can_be_changed(hashed: list[str]) -> None:
    client = browser()
    guess(client, password=PASSWORD)
    form = {"old_password": PASSWORD, "new_password1": "Slowly8Swims", "new_password2": "Slowly8Swims"}
    assert client.post("/admin/password_change/", form).status_code == 302


def test_a_login_by_https_leaves_a_cookie_that_only_https_carries(hashed: list[str], settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    client = browser()
    guess(client, password=PASSWORD)
    assert client.cookies["known_browser"]["secure"]


@pytest.mark.django_db(transaction=True)
def test_found_b4_guesses_at_once_are_counted_one_by_one(hashed: list[str]) -> None:
    def ask() -> int:
        try:
            return int(guess(browser()).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = [future.result() for future in [pool.submit(ask) for _ in range(20)]]
    assert sorted(statuses) == [200] * 3 + [429] * 17
    assert len(hashed) == 3
