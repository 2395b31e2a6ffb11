"""The admin's site: Django's, with an answer to who guesses passwords."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from psycopg.errors import UniqueViolation

from lsp_site import logins
from lsp_site.logins import TooManyGuesses

_COLLIDED: Final = "Somebody else has saved the same at this moment, and yours was not saved. Look, and try again."


class StaffSite(AdminSite):
    """Where a password is asked for, too many guesses are answered with 429 and how long to wait."""

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page, or where to go from it. A browser that has logged in is remembered."""
        answer = super().login(request, extra_context)
        if request.method == "POST":
            if refused := _refused(answer):
                return _too_many(answer, refused)
            if answer.status_code == 302:
                logins.remember(request, answer, request.user.get_username())
        return answer

    def password_change(  # type: ignore[override]  # it redirects, too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The old password is asked for: who sits at a browser that was left logged in could guess it."""
        if request.method == "POST":
            try:
                logins.admit(request, request.user.get_username())
            except TooManyGuesses as refused:
                return _too_many(HttpResponse(refused.message, content_type="text/plain"), refused)
        return super().password_change(request, extra_context)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """A form that collides with what another saves at this moment says so: forms look before they write."""

        @wraps(view)
        def careful(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except IntegrityError as error:
                if request.method != "POST" or not isinstance(error.__cause__, UniqueViolation):
                    raise
                messages.error(request, _COLLIDED)
                return redirect(request.get_full_path())

        return super().admin_view(careful, cacheable)


def _refused(answer: HttpResponse) -> TooManyGuesses | None:
    form = (getattr(answer, "context_data", None) or {}).get("form")
    faults = form.errors.as_data().get(NON_FIELD_ERRORS, []) if form is not None else []
    return next((fault for fault in faults if isinstance(fault, TooManyGuesses)), None)


def _too_many(answer: HttpResponse, refused: TooManyGuesses) -> HttpResponse:
    answer.status_code = 429
    answer["Retry-After"] = str(refused.wait_seconds)
    return answer
