"""How often passwords of staff may be guessed. Asked before a password is hashed, for that is what costs.

Strangers share a window for each address and one for each account. A browser in which an account has logged in before
has a window of its own, so that no stranger can keep its owner out.
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from orders import limits
from orders.api.clients import client_address
from orders.keys import client_hash

#: What an account may have is more than one address may use up.
ADDRESSES_OF_AN_ACCOUNT: Final = 5
_COOKIE: Final = "known_browser"
_SALT: Final = "lsp_site.logins"
_COOKIE_SECONDS: Final = 180 * 24 * 3600


class TooManyGuesses(ValidationError):
    """No password is looked at before `wait_seconds` are over. A form shows it like any other fault."""

    def __init__(self, wait_seconds: int) -> None:
        self.wait_seconds = wait_seconds
        wait = f"{wait_seconds} seconds" if wait_seconds < 120 else f"{-(-wait_seconds // 60)} minutes"
        super().__init__(f"Too many attempts. Wait {wait}, then try again.", code="throttled")


class StaffBackend(ModelBackend):
    """Django's own, which counts what is asked by a request."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Raises: TooManyGuesses, whether or not there is such an account, and whatever the password."""
        if request is not None and username is not None and password is not None:
            admit(request, username)
        return super().authenticate(request, username, password, **kwargs)

    def get_user(self, user_id: int) -> User | None:
        """With the second factor, which each request of a person is asked about."""
        user = User._default_manager.select_related("second_factor").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


def admit(request: HttpRequest, name: str) -> None:
    """This guess at the password of `name` is counted, and may be made. Raises: TooManyGuesses."""
    account = _account(name)
    browser = _known_browser(request)
    if browser.startswith(f"{account}:"):
        _count(f"login:browser:{browser}")
        return
    _count(f"login:address:{client_address(request)}")
    _count(f"login:account:{account}", times=ADDRESSES_OF_AN_ACCOUNT)


def admit_code(name: str) -> None:
    """This guess at a code of who has given the password of `name` is counted, and may be made.

    Raises: TooManyGuesses.
    """
    _count(f"login:code:{_account(name)}")


def is_first_refusal(request: HttpRequest) -> bool:
    """It was not told of this address for an hour: who is refused on and on costs no more than a count."""
    return limits.wait_seconds(f"login:told:{client_address(request)}", "1/hour") is None


def remember(request: HttpRequest, answer: HttpResponse, name: str) -> None:
    """This browser is known from now on as one of whoever has the account."""
    browser = f"{_account(name)}:{secrets.token_urlsafe(12)}"
    answer.set_signed_cookie(
        _COOKIE,
        browser,
        salt=_SALT,
        max_age=_COOKIE_SECONDS,
        path="/admin/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def too_many(answer: HttpResponse, refused: TooManyGuesses) -> HttpResponse:
    """It is answered with 429, and says how long to wait."""
    answer.status_code = 429
    answer["Retry-After"] = str(refused.wait_seconds)
    return answer


def _count(what: str, *, times: int = 1) -> None:
    wait_seconds = limits.wait_seconds(what, settings.LOGIN_RATE, times=times)
    if wait_seconds is not None:
        raise TooManyGuesses(wait_seconds)


def _account(name: str) -> str:
    """The account, told apart but not named; however its name is written."""
    return client_hash(f"account:{unicodedata.normalize('NFKC', name).strip().casefold()}")[:24]


def _known_browser(request: HttpRequest) -> str:
    return request.get_signed_cookie(_COOKIE, default="", salt=_SALT, max_age=_COOKIE_SECONDS) or ""
