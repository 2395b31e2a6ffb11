"""Coupons, and how wallets name themselves: what staff give out, with how often it was used."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin.changes import RecordedAdmin
from orders.admin.discretion import DiscreetAdmin
from orders.admin.shown import at
from orders.models import AuditKind, Coupon, TokenPattern
from orders.queries import COUPON_USED


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


@admin.register(Coupon)
class CouponAdmin(_Managed):
    """Codes with a discount, or sizes and prices of their own."""

    unrecorded = ("code",)
    form = CouponForm
    list_display = ["code", "note", "is_active", "discount", "used", "starts", "ends"]
    list_filter = ["is_active"]
    search_fields = ["=code", "note"]
    ordering = ["code"]
    fieldsets = [
        (None, {"fields": ["code", "note", "is_active", "used"]}),
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
    readonly_fields = ["used"]
    starts = at("starts_at", "from")
    ends = at("ends_at", "until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Coupon]:
        """With the number of orders that count."""
        counted = Count("orders", filter=Q(orders__state__in=COUPON_USED))
        coupons: QuerySet[Coupon] = super().get_queryset(request).annotate(used_count=counted)
        return coupons

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
        count, most = getattr(coupon, "used_count", 0), coupon.most_uses
        words = f"{count:,}" + (f" of {most:,}" if most else "")
        url = reverse("admin:orders_channelorder_changelist")
        return format_html('<a href="{}?coupon__id__exact={}">{}</a>', url, coupon.pk, words) if count else words


@admin.register(TokenPattern)
class TokenPatternAdmin(_Managed):
    """How wallets name themselves: taken, and nothing follows from it."""

    list_display = ["pattern", "note", "is_active"]
    fields = ["pattern", "note", "is_active"]
    ordering = ["pattern"]
