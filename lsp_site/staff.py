"""The admin's site: Django's, with an answer to who guesses passwords."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse

from lsp_site import logins
from lsp_site.logins import TooManyGuesses


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


def _refused(answer: HttpResponse) -> TooManyGuesses | None:
    form = (getattr(answer, "context_data", None) or {}).get("form")
    faults = form.errors.as_data().get(NON_FIELD_ERRORS, []) if form is not None else []
    return next((fault for fault in faults if isinstance(fault, TooManyGuesses)), None)


def _too_many(answer: HttpResponse, refused: TooManyGuesses) -> HttpResponse:
    answer.status_code = 429
    answer["Retry-After"] = str(refused.wait_seconds)
    return answer
