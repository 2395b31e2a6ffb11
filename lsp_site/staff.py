"""The admin's site: Django's, with an answer to who guesses, a second factor, and a trail of who came and went."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, path
from psycopg.errors import UniqueViolation

from lsp_site import exports, factor_pages, logins, sessions
from lsp_site.factor_pages import factor_page
from lsp_site.logins import TooManyGuesses, too_many
from orders import actors, trail
from orders.models import AuditKind

_COLLIDED: Final = "Somebody else has saved the same at this moment, and yours was not saved. Look, and try again."


class StaffSite(AdminSite):
    """Where a password is asked for, too many guesses are answered with 429 and how long to wait."""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Before Django's: the pages of the second factor, and a way out for who has not shown it yet.

        Without its way to pages of rows elsewhere: there are none, and it fails at ids that are no numbers.
        """
        pages = factor_pages.urls(self)
        djangos = [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]
        return [path("logout/", self.end_session, name="logout"), *pages, *djangos]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """As Django's. What goes out as a file is on the trail."""
        return super().admin_view(exports.noted(_careful(view)), cacheable)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page, or where to go from it. A browser that has logged in is remembered."""
        if request.method == "GET" and sessions.pending(request) is not None:
            return HttpResponseRedirect(factor_page(request))
        answer = super().login(request, extra_context)
        if request.method == "POST":
            return self._logged_in(request, answer) if answer.status_code == 302 else _not_logged_in(request, answer)
        return answer

    def _logged_in(self, request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        """The password was right: in, or on to the second factor."""
        user: Any = request.user
        sessions.begin(request, user)
        if sessions.has_to_prove(user):
            return HttpResponseRedirect(factor_page(request))
        self.admitted(request, answer, user, "by password")
        return answer

    def admitted(self, request: HttpRequest, answer: HttpResponse, user: User, how: str) -> None:
        """The session is the person's from now on, and their browser is known."""
        sessions.prove(request, user)
        logins.remember(request, answer, user.get_username())
        trail.add(AuditKind.LOGIN, f"logged in {how}", actor=actors.person(user))

    def end_session(self, request: HttpRequest) -> HttpResponse:
        """Out, also for who has given a password and no code."""
        user = request.user if request.user.is_authenticated else sessions.pending(request)
        if user is not None and request.method == "POST":
            trail.add(AuditKind.LOGOUT, "logged out", actor=actors.person(user))
        return self.logout(request)

    def password_change(  # type: ignore[override]  # it redirects, too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The old password is asked for: who sits at a browser that was left logged in could guess it."""
        if request.method != "POST":
            return super().password_change(request, extra_context)
        try:
            logins.admit(request, request.user.get_username())
        except TooManyGuesses as refused:
            return too_many(HttpResponse(refused.message, content_type="text/plain"), refused)
        answer = super().password_change(request, extra_context)
        if answer.status_code == 302:
            trail.add(AuditKind.PASSWORD, "changed their own password", actor=actors.person(request.user))
        return answer


def _not_logged_in(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    """The answer, and a line of the trail. What was typed as a name is told only if it is one: it may be a password."""
    refused = _refused(answer)
    typed = request.POST.get("username", "")
    name = typed if User.objects.filter(username=typed).exists() else "no account of ours"
    if refused is None:
        trail.add(AuditKind.LOGIN_REFUSED, f"wrong password, or none of ours: {name}", actor=None)
        return answer
    if logins.is_first_refusal(request):
        trail.add(AuditKind.LOGIN_THROTTLED, f"too many guesses, now at: {name}", actor=None)
    return too_many(answer, refused)


def _careful(view: Callable[..., Any]) -> Callable[..., Any]:
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

    return careful


def _refused(answer: HttpResponse) -> TooManyGuesses | None:
    form = (getattr(answer, "context_data", None) or {}).get("form")
    faults = form.errors.as_data().get(NON_FIELD_ERRORS, []) if form is not None else []
    return next((fault for fault in faults if isinstance(fault, TooManyGuesses)), None)
