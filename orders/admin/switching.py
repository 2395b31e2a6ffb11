"""Pause and resume from the first page, each with its right, and a pause with a reason."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from orders.admin.steering import acting
from orders.errors import InvalidField
from orders.models import SwitchName
from orders.operations import pausing


class SwitchingAdmin(admin.ModelAdmin):
    """A model admin that switches: one address takes both switches, and both ways."""

    def get_urls(self) -> list[URLPattern]:
        """With that address."""
        view = self.admin_site.admin_view(require_POST(self.switch_view))
        return [path("switch/", view, name="orders_switchevent_switch"), *super().get_urls()]

    def switch_view(self, request: HttpRequest) -> HttpResponse:
        """It is off, with the reason that was given, or on again; back to the first page. Raises: PermissionDenied."""
        if not request.user.has_perm("orders.change_switch"):
            raise PermissionDenied
        given = request.POST.get("name", "")
        if given in SwitchName.values:
            _switch(request, SwitchName(given), on=request.POST.get("on") == "yes")
        return HttpResponseRedirect(reverse("admin:index"))


def _switch(request: HttpRequest, name: SwitchName, *, on: bool) -> None:
    if on:
        pausing.resume(name, actor=acting(request))
        messages.success(request, f"{name.label} go on.")
        return
    try:
        switch = pausing.pause(name, reason=request.POST.get("reason", ""), actor=acting(request))
    except InvalidField as error:
        messages.error(request, f"{name.label} were not paused: {error.message}")
    else:
        messages.success(request, f"{name.label} are paused: {switch.reason}")
