"""The second factor: nobody passes without it where it is asked for, by no address and with no older session."""

from __future__ import annotations

import base64
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from lsp_site import factors
from lsp_site.models import RecoveryCode, SecondFactor
from orders.models import AuditEntry, AuditKind
from tests.integration.authenticator import (
    CODE,
    ENROL,
    LOGIN,
    OWN,
    PASSWORD,
    code_of,
    enrolled,
    is_in,
    logged_in,
    password,
    shown_secret,
)
from tests.integration.staff import LIST, seen

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_superuser("alice", password=PASSWORD)


@pytest.fixture
def required(settings: Any) -> None:
    settings.STAFF_MFA = "required"


# Enrolment


@pytest.mark.usefixtures("required")
def test_who_has_none_enrols_at_the_next_login_and_is_in(alice: User) -> None:
    client = Client()
    answer = client.post(f"{LOGIN}?next={LIST}", {"username": "alice", "password": PASSWORD}, follow=True)
    assert answer.request["PATH_INFO"] == ENROL and not is_in(client)
    secret = shown_secret(answer)
    page = answer.content.decode()
    assert "<svg" in page and "style=" not in page.partition("<svg")[2].partition("</svg>")[0]
    answer = client.post(ENROL, {"code": code_of(secret), "next": LIST})
    codes = re.findall(r"<code>([a-z2-7-]{19})</code>", answer.content.decode())
    assert len(codes) == factors.RECOVERY_CODES and f'href="{LIST}"' in answer.content.decode()
    assert is_in(client)


@pytest.mark.usefixtures("required")
@pytest.mark.parametrize(
    "path", ["/admin/", LIST, "/admin/password_change/", OWN, "/admin/orders/entry/", "/admin/auth/user/"]
)
def test_before_that_nothing_is_reached(alice: User, path: str) -> None:
    client = Client()
    password(client)
    for answer in (client.get(path), client.post(path, {"action": "as_csv", "_selected_action": "1"})):
        assert answer.status_code == 302 and answer["Location"].startswith(LOGIN), path
    assert client.get(LOGIN)["Location"].startswith(CODE)


@pytest.mark.usefixtures("required")
def test_a_session_from_before_enrolment_was_required_does_not_get_around_it(alice: User, settings: Any) -> None:
    settings.STAFF_MFA = "optional"
    client = Client()
    password(client)
    assert is_in(client)
    settings.STAFF_MFA = "required"
    assert not is_in(client)


def test_a_session_from_before_enrolment_is_over_once_another_has_enrolled(alice: User) -> None:
    older = Client()
    password(older)
    assert is_in(older)
    enrolled(alice)
    assert not is_in(older)
    factors.reset(alice)
    assert not is_in(older), "nor does it come back when the factor goes"


def test_where_it_is_optional_who_has_none_is_in_by_password_alone(alice: User) -> None:
    client = Client()
    password(client)
    assert is_in(client)


def test_where_it_is_off_nobody_is_asked(alice: User, settings: Any) -> None:
    settings.STAFF_MFA = "off"
    enrolled(alice)
    client = Client()
    password(client)
    assert is_in(client)


def test_a_wrong_code_enrols_nothing(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    secret = shown_secret(client.get(ENROL))
    page = seen(client.post(ENROL, {"code": "000000", "proof": PASSWORD}))
    assert "not the code of now" in page and not SecondFactor.objects.exists()
    assert shown_secret(client.get(ENROL)) == secret, "who mistypes need not read the picture again"


def test_who_sits_at_a_browser_left_logged_in_enrols_nothing_without_the_password(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    secret = shown_secret(client.get(ENROL))
    page = seen(client.post(ENROL, {"code": code_of(secret), "proof": "wrong"}))
    assert "neither your password nor a code" in page and not SecondFactor.objects.exists()


# The login


def test_the_right_code_lets_in_and_leads_where_one_wanted(alice: User) -> None:
    secret, _ = enrolled(alice)
    client = Client()
    answer = client.post(f"{LOGIN}?next={LIST}", {"username": "alice", "password": PASSWORD, "next": LIST})
    assert answer["Location"].startswith(CODE) and not is_in(client)
    answer = client.post(answer["Location"], {"code": code_of(secret)})
    assert answer["Location"] == LIST and is_in(client)


def test_no_page_elsewhere_is_where_one_wanted(alice: User) -> None:
    secret, _ = enrolled(alice)
    client = Client()
    password(client)
    answer = client.post(f"{CODE}?next=https://evil.example/", {"code": code_of(secret)})
    assert answer["Location"] == "/admin/"


def test_a_code_counts_once(alice: User) -> None:
    secret, _ = enrolled(alice)
    logged_in(secret)
    again = Client()
    password(again)
    assert "not the code of now" in seen(again.post(CODE, {"code": code_of(secret)})) and not is_in(again)


def test_a_code_from_before_one_that_counted_does_not_count(alice: User) -> None:
    secret, _ = enrolled(alice, steps=1)
    client = Client()
    password(client)
    for steps in (-1, 0, 1):
        client.post(CODE, {"code": code_of(secret, steps=steps)})
    assert not is_in(client)


@pytest.mark.django_db(transaction=True)
def test_a_code_that_comes_twice_at_once_counts_once() -> None:
    user = User.objects.create_superuser("alice", password=PASSWORD)
    secret, recovery = enrolled(user)

    def ask(typed: str) -> bool:
        try:
            factors.check(user, typed)
        except factors.WrongCode:
            return False
        finally:
            connection.close()
        return True

    for typed in (code_of(secret), recovery[0]):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, [typed] * 8)) == 1


def test_a_recovery_code_counts_once_and_is_stored_hashed(alice: User) -> None:
    _, codes = enrolled(alice)
    client = Client()
    password(client)
    assert client.post(CODE, {"code": codes[0].upper().replace("-", " ")}).status_code == 302 and is_in(client)
    again = Client()
    password(again)
    again.post(CODE, {"code": codes[0]})
    assert not is_in(again)
    plain = {code.replace("-", "") for code in codes}
    assert not plain & set(RecoveryCode.objects.values_list("digest", flat=True))
    assert RecoveryCode.objects.filter(used_at=None).count() == factors.RECOVERY_CODES - 1


def test_the_secret_is_not_in_the_database_in_the_clear(alice: User) -> None:
    secret, _ = enrolled(alice)
    kept = SecondFactor.objects.get().sealed_secret
    assert secret.hex() not in kept and factors.as_text(secret) not in kept
    assert base64.b64encode(secret).decode() not in kept and factors.unsealed(kept) == secret


def test_under_another_key_no_code_is_right_and_the_recovery_codes_neither(alice: User, settings: Any) -> None:
    secret, codes = enrolled(alice)
    settings.SECRET_KEY = "another"
    for typed in (code_of(secret), codes[0]):
        with pytest.raises(factors.WrongCode):
            factors.check(alice, typed)


@pytest.mark.parametrize("typed", ["", "12345", "１２３４５６", "abcdef", "1234567", " ", "٣٣٣٣٣٣"])
def test_what_is_no_code_is_refused(alice: User, typed: str) -> None:
    enrolled(alice)
    with pytest.raises(factors.WrongCode):
        factors.check(alice, typed)


def test_codes_are_guessed_as_seldom_as_passwords(alice: User, settings: Any) -> None:
    secret, _ = enrolled(alice)
    settings.LOGIN_RATE = "3/hour"
    client = Client()
    password(client)
    assert [client.post(CODE, {"code": "000000"}).status_code for _ in range(3)] == [200] * 3
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 3500 and not is_in(client)


def test_a_password_that_was_given_long_ago_is_asked_for_again(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, _ = enrolled(alice)
    client = Client()
    password(client)
    later = time.time() + 700
    monkeypatch.setattr("lsp_site.sessions.time.time", lambda: later)
    assert client.post(CODE, {"code": code_of(secret)})["Location"] == "/admin/" and not is_in(client)


def test_who_has_given_a_password_alone_can_log_out(alice: User) -> None:
    enrolled(alice)
    client = Client()
    password(client)
    client.post("/admin/logout/")
    assert client.get(CODE)["Location"] == "/admin/" and client.get(LOGIN).status_code == 200


def test_a_new_login_in_the_same_browser_asks_for_the_code_again(alice: User) -> None:
    secret, _ = enrolled(alice)
    client = logged_in(secret)
    password(client)
    assert not is_in(client)


def test_the_codes_of_rfc_6238_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = b"12345678901234567890"
    for moment, code in ((59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (20000000000, "353130")):
        monkeypatch.setattr("lsp_site.factors.time.time", lambda at=moment: at)
        assert factors.step_of(secret, code) == moment // 30


# Changes


def test_another_authenticator_takes_the_place_of_the_first(alice: User) -> None:
    secret, old_codes = enrolled(alice)
    client, other = logged_in(secret), Client()
    password(other)
    other.post(CODE, {"code": old_codes[0]})
    new = shown_secret(client.get(ENROL))
    assert "Recovery codes" in seen(client.post(ENROL, {"code": code_of(new), "proof": old_codes[1]}))
    assert is_in(client) and not is_in(other)
    with pytest.raises(factors.WrongCode):
        factors.check(alice, old_codes[2])


@pytest.mark.parametrize("page", ["codes", "remove"])
def test_no_change_without_the_password_or_a_code_anew(alice: User, page: str) -> None:
    secret, codes = enrolled(alice)
    client = logged_in(secret)
    client.post(f"{OWN}{page}/", {"proof": "wrong"})
    assert is_in(client) and factors.unused_codes(alice) == 10
    factors.check(alice, codes[0])  # still one of theirs


def test_new_recovery_codes_end_the_old(alice: User) -> None:
    secret, codes = enrolled(alice)
    answer = logged_in(secret).post(f"{OWN}codes/", {"proof": PASSWORD})
    new = re.findall(r"<code>([a-z2-7-]{19})</code>", answer.content.decode())
    with pytest.raises(factors.WrongCode):
        factors.check(alice, codes[0])
    assert factors.check(alice, new[0]) == "recovery code"


def test_it_is_given_up_only_where_it_is_not_required(alice: User, settings: Any) -> None:
    secret, codes = enrolled(alice)
    client = logged_in(secret)
    settings.STAFF_MFA = "required"
    client.post(f"{OWN}remove/", {"proof": codes[0]})
    assert SecondFactor.objects.get().sealed_secret
    settings.STAFF_MFA = "optional"
    client.post(f"{OWN}remove/", {"proof": codes[1]})
    assert not SecondFactor.objects.get().sealed_secret and is_in(client)


@pytest.mark.usefixtures("required")
def test_who_has_lost_it_enrols_anew_after_the_command(alice: User, capsys: Any) -> None:
    secret, _ = enrolled(alice)
    client = logged_in(secret)
    call_command("reset_second_factor", "alice")
    assert "any more" in capsys.readouterr().out and not is_in(client)
    fresh = Client()
    assert password(fresh)["Location"].startswith(CODE)
    assert fresh.get(CODE)["Location"].startswith(ENROL)
    assert AuditEntry.objects.filter(kind=AuditKind.FACTOR, person__startswith="command:").count() == 1
    with pytest.raises(CommandError, match="no account"):
        call_command("reset_second_factor", "nobody")


def test_the_command_ends_sessions_of_who_had_no_factor_and_says_so(alice: User, capsys: Any) -> None:
    client = Client()
    password(client)
    assert is_in(client)
    call_command("reset_second_factor", "alice")
    assert capsys.readouterr().out == "alice had no second factor, and is logged in nowhere now.\n"
    assert not is_in(client)


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_session_whose_factor_was_reset_enrols_nothing_without_the_password(
    alice: User, settings: Any, mode: str
) -> None:
    secret, _ = enrolled(alice)
    settings.STAFF_MFA = mode
    was_in, had_given_a_password = logged_in(secret), Client()
    password(had_given_a_password)
    factors.reset(alice)
    for client in (was_in, had_given_a_password):
        assert client.get(ENROL)["Location"] == client.get(CODE)["Location"] == "/admin/"
        assert not is_in(client)


def test_a_superuser_resets_another_persons_in_the_admin(alice: User) -> None:
    bob = User.objects.create_user("bob", password=PASSWORD, is_staff=True)
    enrolled(bob)
    client = Client()
    client.force_login(alice)
    client.post("/admin/auth/user/", {"action": "reset_factor", "_selected_action": bob.pk})
    assert not SecondFactor.objects.get(user=bob).sealed_secret


def test_no_secret_of_it_is_in_a_log_or_on_the_trail(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = Client()
        client.force_login(alice)
        secret = shown_secret(client.get(ENROL))
        answer = client.post(ENROL, {"code": code_of(secret), "proof": PASSWORD})
        codes = re.findall(r"<code>([a-z2-7-]{19})</code>", answer.content.decode())
        client.post("/admin/logout/")
        password(client)
        client.post(CODE, {"code": codes[0]})
    trail = "".join(f"{row.words}{row.facts}" for row in AuditEntry.objects.all())
    told = [*codes, factors.as_text(secret), secret.hex(), PASSWORD, code_of(secret)]
    assert not [word for word in told if word in caplog.text + trail]
