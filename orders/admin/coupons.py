"""Coupons, and how wallets name themselves: what staff give out, with how often it was used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders import figures
from orders.admin.changes import RecordedAdmin
from orders.admin.discretion import DiscreetAdmin
from orders.admin.moments import NamedMoment
from orders.admin.shown import Column, at
from orders.figures import CouponSum
from orders.models import AuditKind, Coupon, TokenPattern


class CouponForm(forms.ModelForm):
    """What the database would refuse is said beside the field."""

    class Meta:
        model = Coupon
        exclude: tuple[str, ...] = ()
        labels = {
            "is_active": "It is taken",
            "starts_at": "From",
            "ends_at": "Until",
            "most_uses": "Orders at most",
            "discount_percent": "Discount (%)",
            "min_channel_sat": "Smallest channel (sat)",
            "max_channel_sat": "Largest channel (sat)",
            "max_client_balance_sat": "Largest pushed amount (sat)",
            "min_expiry_blocks": "Shortest term (blocks)",
            "max_expiry_blocks": "Longest term (blocks)",
            "base_fee_sat": "Base fee (sat)",
            "rate_ppm_per_1008_blocks": "Share of our side in 1,008 blocks, a week (ppm)",
            "minimum_fee_sat": "Least fee (sat)",
        }

    def clean(self) -> dict[str, Any]:
        """Limits and dates are in order."""
        given = super().clean() or self.cleaned_data
        for least, most in (
            *(("min_channel_sat", "max_channel_sat"), ("min_expiry_blocks", "max_expiry_blocks")),
            ("starts_at", "ends_at"),
        ):
            low, high = given.get(least), given.get(most)
            if low is not None and high is not None and (low > high or (low == high and least == "starts_at")):
                self.add_error(most, "This must not be less than where it begins.")
        return given


class _Managed(RecordedAdmin, DiscreetAdmin):
    """Seen by who may change it: a code is worth money."""

    recorded = AuditKind.COUPON

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change it."""
        return self.has_change_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing is deleted in bulk."""
        return {}


def _tell(shown: Iterable[Coupon]) -> None:
    """What the figures have of each, beside it: a page asks them once."""
    told = {each.coupon_id: each for each in figures.coupons()}
    for coupon in shown:
        coupon.__dict__["told"] = told.get(coupon.pk)


def _sums(coupon: Coupon) -> CouponSum:
    return coupon.__dict__.get("told") or CouponSum(coupon.pk)


def _summed(name: str, label: str) -> Column:
    """A column with one of its figures."""

    @admin.display(description=label)
    def column(self: Any, coupon: Coupon) -> str:
        return f"{getattr(_sums(coupon), name):,}"

    return column


@admin.register(Coupon)
class CouponAdmin(_Managed):
    """Codes with a discount, or sizes and prices of their own."""

    unrecorded = ("code",)
    form = CouponForm
    formfield_overrides: ClassVar[Any] = {
        models.DateTimeField: {"form_class": forms.SplitDateTimeField, "widget": NamedMoment}
    }
    list_display = ["code", "note", "is_active", "discount", "used", "sold", "given", "starts", "ends"]
    list_filter = ["is_active"]
    search_fields = ["=code", "note"]
    ordering = ["code"]
    fieldsets = [
        (None, {"fields": ["code", "note", "is_active"]}),
        ("What it has brought", {"fields": ["used", ("sold", "size"), ("earned", "given")]}),
        ("How often, and when", {"fields": ["most_uses", ("starts_at", "ends_at")]}),
        ("Discount", {"fields": ["discount_percent"]}),
        (
            "Sizes and terms of its own; empty: the service's",
            {
                "fields": [
                    ("min_channel_sat", "max_channel_sat"),
                    "max_client_balance_sat",
                    ("min_expiry_blocks", "max_expiry_blocks"),
                ]
            },
        ),
        (
            "A price of its own; empty: the service's",
            {"fields": ["base_fee_sat", "rate_ppm_per_1008_blocks", "minimum_fee_sat"]},
        ),
    ]
    readonly_fields = ["used", "sold", "size", "earned", "given"]
    starts = at("starts_at", "from")
    ends = at("ends_at", "until")
    sold = _summed("sold", "sold")
    size = _summed("sold_sat", "capacity sold (sat)")
    earned = _summed("fees_sat", "fees of these (sat)")
    given = _summed("discount_sat", "discount given (sat)")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """With the figures of each row, read once."""
        shown = super().get_changelist_instance(request)
        _tell(shown.result_list)
        return shown

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Coupon | None:
        """With its figures."""
        coupon: Coupon | None = super().get_object(request, object_id, from_field)
        _tell([coupon] if coupon is not None else [])
        return coupon

    def get_readonly_fields(self, request: HttpRequest, obj: Coupon | None = None) -> list[str]:
        """A code that has orders stays what it is."""
        return [*self.readonly_fields, *(["code"] if obj is not None and obj.orders.exists() else [])]

    def has_delete_permission(self, request: HttpRequest, obj: Coupon | None = None) -> bool:
        """One that was ever used stays; it can be made not to be taken."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.orders.exists())

    @admin.display(description="discount", ordering="discount_percent")
    def discount(self, coupon: Coupon) -> str:
        """In percent, or a price of its own."""
        own = {coupon.base_fee_sat, coupon.rate_ppm_per_1008_blocks, coupon.minimum_fee_sat} != {None}
        return f"{coupon.discount_percent} %" + (", own price" if own else "")

    @admin.display(description="used")
    def used(self, coupon: Coupon) -> SafeString | str:
        """How many orders stand or were sold with it, of how many."""
        count, most = _sums(coupon).used, coupon.most_uses
        words = f"{count:,}" + (f" of {most:,}" if most else "")
        url = reverse("admin:orders_channelorder_changelist")
        return format_html('<a href="{}?coupon__id__exact={}">{}</a>', url, coupon.pk, words) if count else words


@admin.register(TokenPattern)
class TokenPatternAdmin(_Managed):
    """How wallets name themselves: taken, and nothing follows from it."""

    list_display = ["pattern", "note", "is_active"]
    fields = ["pattern", "note", "is_active"]
    ordering = ["pattern"]
