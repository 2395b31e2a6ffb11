"""What is answered where no view could: below the admin a page in its frame, elsewhere as the API's clients read it."""

from __future__ import annotations

from typing import Final

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse

from lsps.rest import errors as lsps1
from orders.api import errors
from orders.api.problems import Problem

_NOT_ALLOWED: Final = Problem(403, "not_allowed", "This is not allowed here.")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Django's handler400."""
    if not _is_for_staff(request):
        return lsps1.answer(errors.BAD_REQUEST, request)
    return _page(request, 400, "This could not be read")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Django's handler403. What was refused is on the trail, where it was a deed."""
    if not _is_for_staff(request):
        return lsps1.answer(_NOT_ALLOWED, request)
    return _page(request, 403, "This is not yours to see or do")


def forged(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW: a form without its token, mostly of a page that was open for too long."""
    if not _is_for_staff(request):
        return lsps1.answer(_NOT_ALLOWED, request)
    return _page(request, 403, "Nothing was done", template="forged")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Django's handler404. Who is none of the staff learns of no page: the login is next."""
    if not _is_for_staff(request):
        return lsps1.answer(errors.NOT_FOUND, request)
    if not admin.site.has_permission(request):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    return _page(request, 404, "There is no such page")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. The exception is in the log.

    It asks neither the database nor who asks: either may be what is broken.
    """
    if not _is_below_the_admin(request):
        return lsps1.server_error(request)
    told = {"title": "Something went wrong here", "site_header": admin.site.site_header}
    return HttpResponse(render_to_string("admin/500.html", {**told, "site_title": admin.site.site_title}), status=500)


def _is_for_staff(request: HttpRequest) -> bool:
    """Not what is refused before anybody knows who asks, as a host that is not ours."""
    return _is_below_the_admin(request) and hasattr(request, "user")


def _is_below_the_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith(reverse("admin:index"))


def _page(request: HttpRequest, status: int, title: str, *, template: str = "") -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title}
    return render(request, f"admin/{template or status}.html", context, status=status)
