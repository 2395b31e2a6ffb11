"""Deeds in the admin: from the list, from an order's page, and the page that asks first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from orders import actors, trail
from orders.actors import Authority
from orders.admin import preview
from orders.admin.deeds import DEEDS, Deed, Outcome, Shown, perform, seen_alone
from orders.admin.discretion import may_steer
from orders.causes import FlagKind
from orders.errors import InvalidField
from orders.ids import short
from orders.models import ChannelOrder
from orders.queries import orders_with_details

#: Each order is a transaction of its own, and a request should end.
MOST_AT_ONCE: Final = 200
_MOST_NAMED: Final = 10

#: The names of the form's fields for what is typed, and for what has to be ticked besides.
TYPED: Final = "typed"
SECOND: Final = "second"


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed for a deed, field by field, as it is meant; with its fault, as it was typed."""

    values: tuple[str, ...] = ()
    fault: str = ""
    is_missing: bool = False

    @property
    def text(self) -> str:
        """A line for each field."""
        return "\n".join(self.values)


@dataclass(frozen=True, slots=True)
class Asked:
    """For which orders a deed was asked, and where to go afterwards."""

    ids: list[UUID]
    back: str
    #: From the list: what moves money is shown first, whatever it is.
    of_many: bool = False
    #: Chosen besides, and more than one request does.
    left_over: int = 0
    #: Who asks has seen what becomes of the money; and of each order, at which row of its journal.
    sure: bool = False
    shown: Shown = field(default_factory=dict)


Action = Callable[["SteeringAdmin", HttpRequest, "QuerySet[ChannelOrder]"], HttpResponse | None]


def actions() -> list[Action]:
    """The deeds, for the list of orders: but those that staff type something for, or need another right for."""
    return [_action(deed) for deed in DEEDS.values() if deed.field is None and not deed.permissions]


def _action(deed: Deed) -> Action:
    @admin.action(description=f"{deed.label}: the selected orders" if deed.money else deed.label, permissions=["steer"])
    def act(model_admin: SteeringAdmin, request: HttpRequest, chosen: QuerySet[ChannelOrder]) -> HttpResponse | None:
        longest_waiting = chosen.order_by("created_at").values_list("pk", flat=True)
        asked = Asked(list(longest_waiting[:MOST_AT_ONCE]), request.get_full_path(), of_many=True)
        return model_admin.steer(request, deed, replace(asked, left_over=max(0, chosen.count() - MOST_AT_ONCE)))

    act.__name__ = deed.name
    return act


class SteeringAdmin(admin.ModelAdmin):
    """A model admin of orders with deeds. No deed runs inside a transaction of ours: operations commit their own."""

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """By the permission to change orders."""
        return may_steer(request)

    def get_urls(self) -> list[URLPattern]:
        """One address takes all deeds."""
        steer = path("steer/", self.admin_site.admin_view(self.steer_view), name="orders_channelorder_steer")
        return [steer, *super().get_urls()]

    def steer_view(self, request: HttpRequest) -> HttpResponse:
        """A deed that was posted is done, or asked about first."""
        if not self.has_steer_permission(request):
            raise PermissionDenied
        back = request.POST.get("back", "")
        if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
            back = reverse("admin:orders_channelorder_changelist")
        deed = _deed(request.POST.get("deed", ""), request.POST.get("flag", ""))
        ids = _ids(request.POST.getlist("order")[:MOST_AT_ONCE])
        if deed is None or not ids:
            return HttpResponseRedirect(back)
        asked = Asked(ids, back, sure="sure" in request.POST, shown=_shown(request.POST.getlist("shown")))
        return self.steer(request, deed, asked) or HttpResponseRedirect(back)

    def steer(self, request: HttpRequest, deed: Deed, asked: Asked) -> HttpResponse | None:
        """The deed is done and told; or, where it changes what becomes of money, a page that asks."""
        if not may_do(request, deed):
            raise PermissionDenied
        if deed.field is not None and len(asked.ids) > 1:
            messages.error(request, f"{deed.label}: for one order at a time.")
            return None
        typed = _typed(request, deed, sure=asked.sure)
        sure = asked.sure and (not deed.second or request.POST.get(SECOND) == "yes")
        is_told_first = deed.money is not None or (asked.of_many and not deed.is_harmless)
        if typed.is_missing or (is_told_first and not sure):
            return self._ask(request, deed, asked, typed)
        outcomes = perform(deed, asked.ids, actor=acting(request), typed=typed.text, shown=asked.shown)
        _tell(request, deed, outcomes)
        return None

    def _ask(self, request: HttpRequest, deed: Deed, asked: Asked, typed: Typed) -> HttpResponse:
        """First for what is to be typed, if anything; and then whether it is meant."""
        orders = list(orders_with_details().prefetch_related("refunds").filter(pk__in=asked.ids))
        trail.saw("the whole id, asked about a deed", [order.pk for order in orders], actor=acting(request))
        told = "" if typed.is_missing else typed.text
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": deed.label if typed.is_missing else f"{deed.label}: are you sure?",
            "opts": self.opts,
            "media": self.media,
            "deed": deed,
            "typed": typed,
            "fields": list(zip_longest(deed.fields, typed.values[: len(deed.fields)], fillvalue="")),
            "back": asked.back,
            "preview": preview.of(deed, orders, told, left_over=asked.left_over),
        }
        return TemplateResponse(request, "admin/orders/channelorder/steer.html", context)


def _typed(request: HttpRequest, deed: Deed, *, sure: bool) -> Typed:
    """What was typed for the deed. Where nobody was asked for it yet, that is no fault."""
    given = request.POST.getlist(TYPED)
    if not given and not sure and deed.fields:
        return Typed(is_missing=True)
    read = []
    for asked, text in zip(deed.fields, [*given, *[""] * len(deed.fields)], strict=False):
        try:
            read.append(asked.read(text))
        except InvalidField as error:
            return Typed(tuple(given), fault=f"{asked.label}: {error.message}", is_missing=True)
    return Typed(tuple(read))


def may_do(request: HttpRequest, deed: Deed) -> bool:
    """Beside the right to steer, the person has what the deed needs."""
    return all(request.user.has_perm(f"orders.{name}") for name in deed.permissions)


def _deed(name: str, flag: str) -> Deed | None:
    """The deed of this name; with `flag` only that kind is marked as seen."""
    if flag:
        return seen_alone(FlagKind(flag)) if name == "settle_flag" and flag in FlagKind.values else None
    return DEEDS.get(name)


def acting(request: HttpRequest) -> Authority:
    """The person, and the groups that give them their rights."""
    return actors.person(request.user)


def _shown(given: Iterable[str]) -> dict[UUID, int]:
    """`id:version` of each order that was shown; what is none of that shape says nothing."""
    shown = {}
    for text in given:
        name, _, version = text.partition(":")
        if version.isdecimal() and (ids := _ids([name])):
            shown[ids[0]] = int(version)
    return shown


def _ids(given: Iterable[str]) -> list[UUID]:
    ids = []
    for text in given:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return ids


def _tell(request: HttpRequest, deed: Deed, outcomes: list[Outcome]) -> None:
    """One message for what was done, and one for each reason why not."""
    told: dict[str, list[UUID]] = defaultdict(list)
    for outcome in outcomes:
        told[outcome.refusal].append(outcome.order_id)
    for refusal, ids in told.items():
        if refusal:
            messages.error(request, f"{deed.label}: not {_named(ids)}: {refusal}")
        else:
            messages.success(request, f"{deed.done}: {_named(ids)}.")


def _named(ids: list[UUID]) -> str:
    names = ", ".join(short(order_id) for order_id in ids[:_MOST_NAMED])
    more = len(ids) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names
