"""The pages of the second factor: shown after the password, enrolled, replaced, and given up where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import segno
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from lsp_site import factors, logins, sessions
from lsp_site.factors import WrongCode
from lsp_site.logins import TooManyGuesses, too_many
from orders import actors, trail
from orders.models import AuditKind

if TYPE_CHECKING:
    from lsp_site.staff import StaffSite

_SECRET: Final = "enrolling"  # noqa: S105  the name of a session's value
_WRONG_CODE: Final = "This is not the code of now, or it was used already. Wait for the next one."
_WRONG_PROOF: Final = "This is neither your password nor a code of now."

Page = Callable[["StaffSite", HttpRequest], HttpResponseBase]


def urls(site: StaffSite) -> list[URLPattern]:
    """The first two are also for who has given no more than the password yet."""
    return [
        path("second-factor/code/", _page(site, code), name="second_factor_code"),
        path("second-factor/enrol/", _page(site, enrol), name="second_factor_enrol"),
        path("second-factor/", site.admin_view(_page(site, manage)), name="second_factor"),
        path("second-factor/codes/", site.admin_view(_page(site, new_codes)), name="second_factor_codes"),
        path("second-factor/remove/", site.admin_view(_page(site, remove)), name="second_factor_remove"),
    ]


def next_page(request: HttpRequest) -> str:
    """Where they wanted to go, if that is here; else the first page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if is_ours else reverse("admin:index")


def factor_page(request: HttpRequest) -> str:
    """Where the code is asked for, with the way on from there."""
    return f"{reverse('admin:second_factor_code')}?{urlencode({'next': next_page(request)})}"


def _page(site: StaffSite, page: Page) -> Callable[[HttpRequest], HttpResponseBase]:
    @never_cache
    @csrf_protect
    @sensitive_post_parameters()
    @require_http_methods(["GET", "HEAD", "POST"])
    def view(request: HttpRequest) -> HttpResponseBase:
        return page(site, request)

    return view


def _shown(site: StaffSite, request: HttpRequest, name: str, title: str, **more: Any) -> HttpResponse:
    context = {**site.each_context(request), "title": title, **more}
    return TemplateResponse(request, f"admin/second_factor/{name}.html", context)


def _with_fault(answer: HttpResponse, fault: TooManyGuesses | None) -> HttpResponse:
    return answer if fault is None else too_many(answer, fault)


def code(site: StaffSite, request: HttpRequest) -> HttpResponseBase:
    """Who has given the password shows the second factor, and is in."""
    user = sessions.pending(request)
    if user is None:
        return HttpResponseRedirect(reverse("admin:index"))
    if not factors.is_enrolled(user):
        return HttpResponseRedirect(f"{reverse('admin:second_factor_enrol')}?{request.GET.urlencode()}")
    fault, throttled = "", None
    if request.method == "POST":
        try:
            how = _checked(user, request.POST.get("code", ""))
            answer = HttpResponseRedirect(next_page(request))
            site.admitted(request, answer, user, f"by password and {how}")
            return answer
        except WrongCode:
            fault = _WRONG_CODE
        except TooManyGuesses as refused:
            fault, throttled = str(refused.message), refused
    more = {"fault": fault, "next": next_page(request), "account": user.get_username()}
    shown = _shown(site, request, "code", "Second factor", **more)
    return _with_fault(shown, throttled)


def _checked(user: User, typed: str) -> str:
    """Which of both it was. Raises: WrongCode, TooManyGuesses."""
    logins.admit_code(user.get_username())
    try:
        return factors.check(user, typed)
    except WrongCode:
        trail.add(AuditKind.FACTOR_REFUSED, "wrong code, after the right password", actor=actors.person(user))
        raise


def enrol(site: StaffSite, request: HttpRequest) -> HttpResponseBase:
    """A secret is shown, and is the person's factor once they show a code of it."""
    is_in = request.user.is_authenticated
    user: Any = request.user if is_in else sessions.pending(request)
    if user is None or (not is_in and factors.is_enrolled(user)):
        return HttpResponseRedirect(reverse("admin:index"))
    secret = _offered(request)
    fault, throttled = "", None
    if request.method == "POST":
        try:
            return _enrolled(site, request, user, secret, is_in=is_in)
        except WrongCode as wrong:
            fault = str(wrong) or _WRONG_CODE
        except TooManyGuesses as refused:
            fault, throttled = str(refused.message), refused
    shown = _shown(
        site, request, "enrol", "Enrol a second factor", fault=fault, picture=_picture(factors.uri(secret, user)),
        secret=_in_fours(factors.as_text(secret)), asks_proof=is_in, account=user.get_username(),
        had=factors.is_enrolled(user), next=next_page(request),
    )  # fmt: skip
    return _with_fault(shown, throttled)


def _enrolled(site: StaffSite, request: HttpRequest, user: User, secret: bytes, *, is_in: bool) -> HttpResponse:
    """Raises: WrongCode, TooManyGuesses."""
    if is_in:
        _prove_anew(request, user)
    else:
        logins.admit_code(user.get_username())
    had = factors.is_enrolled(user)
    codes = factors.enrol(user, secret, request.POST.get("code", ""))
    request.session.pop(_SECRET, None)
    trail.add(AuditKind.FACTOR, "replaced their second factor" if had else "enrolled", actor=actors.person(user))
    on = next_page(request)
    answer = _shown(site, request, "codes", "Recovery codes", codes=codes, next=on)
    if is_in:
        sessions.prove(request, user)
    else:
        site.admitted(request, answer, user, "by password, and has enrolled")
    return answer


def _prove_anew(request: HttpRequest, user: User) -> None:
    """Who sits at a browser that was left logged in knows neither. Raises: WrongCode, TooManyGuesses."""
    logins.admit(request, user.get_username())
    typed = request.POST.get("proof", "")
    try:
        factors.check(user, typed)
    except WrongCode:
        if not user.check_password(typed):
            trail.add(AuditKind.FACTOR_REFUSED, "no proof for a change of the factor", actor=actors.person(user))
            raise WrongCode(_WRONG_PROOF) from None


def _offered(request: HttpRequest) -> bytes:
    """The secret of this session's enrolment, the same until it is done."""
    kept = factors.unsealed(request.session.get(_SECRET, ""))
    if kept is not None and len(kept) == factors.SECRET_BYTES:
        return kept
    secret = factors.new_secret()
    request.session[_SECRET] = factors.sealed(secret)
    return secret


def _picture(text: str) -> SafeString:
    """As SVG in the page: no file, no style, no script, and no secret in an address."""
    made: str = segno.make(text, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff")
    return mark_safe(made)  # noqa: S308  drawn by segno, and has no text in it


def _in_fours(text: str) -> str:
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def manage(site: StaffSite, request: HttpRequest) -> HttpResponseBase:
    """How it stands, and what may be changed."""
    user: Any = request.user
    return _shown(
        site, request, "manage", "Second factor", factor=factors.factor_of(user),
        is_enrolled=factors.is_enrolled(user), codes_left=factors.unused_codes(user),
        may_remove=not factors.is_required(),
    )  # fmt: skip


@require_POST
def _changed(request: HttpRequest, change: Callable[[User], HttpResponse]) -> HttpResponseBase:
    user: Any = request.user
    back = HttpResponseRedirect(reverse("admin:second_factor"))
    if not factors.is_enrolled(user):
        return back
    try:
        _prove_anew(request, user)
    except (WrongCode, TooManyGuesses) as refused:
        messages.error(request, str(getattr(refused, "message", refused)))
        return back
    return change(user)


def new_codes(site: StaffSite, request: HttpRequest) -> HttpResponseBase:
    """There are new recovery codes, and the old ones are worth nothing."""

    def renewed(user: User) -> HttpResponse:
        codes = factors.new_recovery_codes(user)
        trail.add(AuditKind.FACTOR, "made new recovery codes", actor=actors.person(user))
        return _shown(site, request, "codes", "Recovery codes", codes=codes, next=reverse("admin:second_factor"))

    return _changed(request, renewed)


def remove(site: StaffSite, request: HttpRequest) -> HttpResponseBase:
    """They have none, where it is not required."""

    def removed(user: User) -> HttpResponse:
        if factors.is_required():
            messages.error(request, "It is required here.")
            return HttpResponseRedirect(reverse("admin:second_factor"))
        factors.reset(user)
        sessions.prove(request, user)
        trail.add(AuditKind.FACTOR, "gave up their second factor", actor=actors.person(user))
        messages.success(request, "You have no second factor any more.")
        return HttpResponseRedirect(reverse("admin:second_factor"))

    return _changed(request, removed)
