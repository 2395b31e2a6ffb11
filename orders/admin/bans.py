"""Whom we do not serve: listed, added to, lifted. What is written once is not edited."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin.discretion import DiscreetAdmin
from orders.admin.moments import NamedMoment
from orders.admin.shown import NOTHING, at
from orders.admin.steering import acting
from orders.barring import BanKind
from orders.errors import InvalidField, NotPossible
from orders.ids import shortened
from orders.models import Ban
from orders.operations import banning
from orders.operations.refunding import read_reason

_WRITTEN = ["kind", "value", "reason", "until"]


class BanForm(forms.ModelForm):
    """One line more."""

    class Meta:
        model = Ban
        fields = _WRITTEN
        field_classes = {"until": forms.SplitDateTimeField}
        widgets = {"until": NamedMoment}

    def clean(self) -> dict[str, Any]:
        """What the operation would refuse is said beside the field."""
        given = super().clean() or self.cleaned_data
        kind, value, until = given.get("kind"), given.get("value"), given.get("until")
        if kind and value:
            try:
                given["value"] = banning.read_value(BanKind(kind), value)
            except InvalidField as error:
                self.add_error("value", error.message)
        if given.get("reason"):
            try:
                given["reason"] = read_reason(given["reason"])
            except InvalidField as error:
                self.add_error("reason", error.message)
        if until is not None and until <= timezone.now():
            self.add_error("until", "The end must be in the future.")
        standing = Ban.objects.filter(kind=kind, value=given.get("value"), lifted_at=None).first()
        if standing is not None and banning.is_standing(standing):
            self.add_error("value", "This is listed already.")
        return given

    def validate_unique(self) -> None:
        """One that has ended by itself is no obstacle."""

    def validate_constraints(self) -> None:
        """The operation fills in what the form does not ask for."""


@admin.register(Ban)
class BanAdmin(DiscreetAdmin):
    """Nodes, node hosts, refund addresses and payers' addresses that are not served."""

    form = BanForm
    list_display = ["id", "kind", "value", "why", "stands", "created", "created_by", "ends", "lifted", "lifted_by"]
    list_filter = ["kind", "created_at"]
    search_fields = ["value"]
    ordering = ["-id"]
    actions = ["lift"]
    created = at("created_at", "added")
    ends = at("until", "ends")
    lifted = at("lifted_at", "lifted")

    def get_fields(self, request: HttpRequest, obj: Ban | None = None) -> list[Any]:
        """When it is written no more is asked than has to be said."""
        told = ["orders_with_it", "stands", "created", "created_by", "lifted", "lifted_by"]
        return ["kind", "value", "why", "until", *told] if obj is not None else list(_WRITTEN)

    def get_readonly_fields(self, request: HttpRequest, obj: Ban | None = None) -> list[str]:
        """All of what is written."""
        return [] if obj is None else [*self.get_fields(request, obj)]

    def has_delete_permission(self, request: HttpRequest, obj: Ban | None = None) -> bool:
        """Never: it is lifted."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Ban | None = None) -> bool:
        """Nobody edits a line; who may change the list lifts it."""
        return obj is None and super().has_change_permission(request)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Whoever lists at the same moment what another does is told so, and asked again what he wants."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except NotPossible as error:
            messages.error(request, error.message)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Ban, form: forms.ModelForm, change: bool) -> None:
        """Written by the operation, in the name of who asks."""
        ban = banning.add(BanKind(obj.kind), obj.value, reason=obj.reason, until=obj.until, actor=acting(request))
        obj.pk, obj.created_at, obj.created_by = ban.pk, ban.created_at, ban.created_by

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The row itself says who and when."""

    @admin.action(description="Lift: served again from now on", permissions=["change"])
    def lift(self, request: HttpRequest, chosen: QuerySet[Ban]) -> None:
        """Each by the operation."""
        for ban in chosen:
            try:
                banning.lift(ban.pk, actor=acting(request))
                messages.success(request, f"Lifted: {ban}.")
            except NotPossible as error:
                messages.error(request, error.message)

    @admin.display(description="orders")
    def orders_with_it(self, ban: Ban) -> SafeString:
        """Those that the list of orders finds by it: it knows neither hosts nor who has paid."""
        if ban.kind not in {BanKind.NODE, BanKind.REFUND_ADDRESS}:
            return SafeString(NOTHING)
        url = reverse("admin:orders_channelorder_changelist")
        return format_html('<a href="{}?q={}">Find orders with it</a>', url, ban.value)

    @admin.display(description="reason")
    def why(self, ban: Ban) -> str:
        """With no order's whole id."""
        return shortened(ban.reason)

    @admin.display(description="stands", boolean=True)
    def stands(self, ban: Ban) -> bool:
        """Neither lifted nor over."""
        return banning.is_standing(ban)
