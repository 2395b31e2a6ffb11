"""Services: the one thing that staff edit. A change is for new orders; old ones keep their price."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin.changes import RecordedAdmin
from orders.admin.discretion import DiscreetAdmin
from orders.admin.shown import sats
from orders.models import AuditKind, Service


class ServiceForm(forms.ModelForm):
    """What the database would refuse is said beside the field."""

    class Meta:
        model = Service
        exclude: tuple[str, ...] = ()
        labels = {
            "min_channel_sat": "Smallest channel (sat)",
            "max_channel_sat": "Largest channel (sat)",
            "max_client_balance_sat": "Largest pushed amount (sat)",
            "accepts_lightning": "Lightning",
            "accepts_onchain": "On-chain",
            "announced_by_default": "Public unless the buyer says otherwise",
            "base_fee_sat": "Base fee (sat)",
            "min_expiry_blocks": "Shortest term (blocks)",
            "max_expiry_blocks": "Longest term (blocks)",
            "rate_ppm_per_1008_blocks": "Share of our side in 1,008 blocks, a week (ppm)",
            "minimum_fee_sat": "Least fee (sat)",
            "preflight": "Where the buyer's node would not take the channel",
            "after_lease": "When its lease is over",
            "most_routing_base_msat": "Forwarding costs at most (msat)",
            "most_routing_ppm": "and of the amount (ppm)",
            "sells_jit": "Sold",
            "jit_minimum_fee_sat": "Least fee (sat), besides the funding's",
            "jit_rate_ppm": "Share of the payment (ppm)",
            "jit_min_payment_sat": "Smallest payment (sat)",
            "jit_max_payment_sat": "Largest payment (sat)",
            "jit_size_percent": "Size, of the payment (%)",
            "jit_cushion_sat": "and besides (sat)",
            "jit_lifetime_blocks": "Promised for (blocks)",
            "jit_client_trusts_lsp": "The wallet trusts us",
        }

    def clean(self) -> dict[str, Any]:
        """Limits are in order, and there is a way to pay."""
        given = super().clean() or self.cleaned_data
        self._require_order(given, "min_channel_sat", "max_channel_sat", "smallest channel")
        self._require_order(given, "min_expiry_blocks", "max_expiry_blocks", "shortest term")
        self._require_order(given, "jit_min_payment_sat", "jit_max_payment_sat", "smallest payment")
        if (given.get("most_routing_base_msat") is None) != (given.get("most_routing_ppm") is None):
            self.add_error("most_routing_ppm", "Promise both, or neither.")
        if not (given.get("accepts_lightning") or given.get("accepts_onchain")):
            self.add_error("accepts_lightning", "Accept Lightning or on-chain payments, or both.")
        return given

    def _require_order(self, given: dict[str, Any], least: str, most: str, words: str) -> None:
        low, high = given.get(least), given.get(most)
        if low is not None and high is not None and low > high:
            self.add_error(most, f"This must not be less than the {words} ({low:,}).")


_LONGEST_DESCRIPTION: Final = 200


def _copied(request: HttpRequest) -> Service | None:
    """The service that a new one is to be like, for who may see it."""
    try:
        name = UUID(request.GET.get("copy", ""))
    except ValueError:
        return None
    return Service.objects.filter(pk=name).first() if request.user.has_perm("orders.view_service") else None


@admin.register(Service)
class ServiceAdmin(RecordedAdmin, DiscreetAdmin):
    """What is on offer."""

    recorded = AuditKind.SERVICE

    form = ServiceForm
    list_display = ["description", "on_sale", "position", "smallest", "largest", "terms", "rails", "rate", "used"]
    list_filter = ["on_sale"]
    fieldsets = [
        (None, {"fields": ["description", ("on_sale", "position"), "used"]}),
        (
            "Sizes and terms",
            {
                "fields": [
                    ("min_channel_sat", "max_channel_sat"),
                    "max_client_balance_sat",
                    ("min_expiry_blocks", "max_expiry_blocks"),
                ]
            },
        ),
        ("Payment and channel", {"fields": [("accepts_lightning", "accepts_onchain"), "announced_by_default"]}),
        ("Before it is paid", {"fields": ["preflight"]}),
        ("After its lease", {"fields": ["after_lease"]}),
        ("Promise to buyers", {"fields": [("most_routing_base_msat", "most_routing_ppm")]}),
        ("Price", {"fields": ["base_fee_sat", "rate_ppm_per_1008_blocks", "minimum_fee_sat"]}),
        (
            "While a payment is on its way (LSPS2)",
            {
                "description": "Sold where LSPS2_ENABLED is on, and the node can.",
                "fields": [
                    ("sells_jit", "jit_client_trusts_lsp"),
                    ("jit_minimum_fee_sat", "jit_rate_ppm"),
                    ("jit_min_payment_sat", "jit_max_payment_sat"),
                    ("jit_size_percent", "jit_cushion_sat"),
                    "jit_lifetime_blocks",
                ],
            },
        ),
    ]
    readonly_fields = ["used"]
    smallest = sats("min_channel_sat", "smallest")
    largest = sats("max_channel_sat", "largest")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        """With the number of orders."""
        services: QuerySet[Service] = super().get_queryset(request).annotate(order_count=Count("orders"))
        return services

    change_form_template = "admin/orders/service/change_form.html"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """Of a copy the page says whose it is."""
        return super().add_view(request, form_url, {**(extra_context or {}), "copied": _copied(request)})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Of a copy all that the other one has; it is not on sale until somebody says so."""
        other = _copied(request)
        if other is None:
            return super().get_changeform_initial_data(request)
        given = forms.model_to_dict(other)
        return {**given, "on_sale": False, "description": f"{other.description} (copy)"[:_LONGEST_DESCRIPTION]}

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing is deleted in bulk."""
        return {}

    def has_delete_permission(self, request: HttpRequest, obj: Service | None = None) -> bool:
        """A service that was ever sold stays; it can be taken off sale."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.orders.exists())

    @admin.display(description="term (blocks)")
    def terms(self, service: Service) -> str:
        """From, to."""
        return f"{service.min_expiry_blocks:,}–{service.max_expiry_blocks:,}"

    @admin.display(description="paid by")
    def rails(self, service: Service) -> str:
        """The ways to pay."""
        ways = {"Lightning": service.accepts_lightning, "on-chain": service.accepts_onchain}
        return ", ".join(way for way, accepted in ways.items() if accepted)

    @admin.display(description="rate", ordering="rate_ppm_per_1008_blocks")
    def rate(self, service: Service) -> str:
        """Base, and share of our side in a week of blocks."""
        return f"{service.base_fee_sat:,} sat + {service.rate_ppm_per_1008_blocks:,} ppm in 1,008 blocks"

    @admin.display(description="orders")
    def used(self, service: Service) -> SafeString | str:
        """How many there are; a service with orders cannot be deleted."""
        count = getattr(service, "order_count", 0)
        if not count:
            return "none"
        url = reverse("admin:orders_channelorder_changelist")
        return format_html('<a href="{}?service__id__exact={}">{}</a>', url, service.pk, f"{count:,}")
