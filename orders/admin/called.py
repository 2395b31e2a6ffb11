"""The filters that the first page leads to: each list has exactly the rows that were counted there."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from orders import figures
from orders.dashboard.words import why
from orders.figures.asking import OTHER_REASON, REASONS
from orders.models import Alert, ChannelOpening, Heartbeat, Refund

_ANY: Final = "any"


def _reasons() -> list[tuple[str, str]]:
    return [(reason, why(reason)) for reason in REASONS]


class AddressFilter(admin.SimpleListFilter):
    """Refunds that wait for an address."""

    title = "address"
    parameter_name = "address"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One answer."""
        return [("needed", "needed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        """Those."""
        return queryset.filter(figures.UNADDRESSED) if self.value() == "needed" else queryset


class FailedFilter(admin.SimpleListFilter):
    """Attempts by why they failed; a word that is none of ours counts as the last one."""

    title = "why it failed"
    parameter_name = "failed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Each reason."""
        return _reasons()

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChannelOpening]) -> QuerySet[ChannelOpening]:
        """Those that failed for it."""
        reason = self.value()
        if not reason:
            return queryset
        named = [each for each in REASONS if each != OTHER_REASON]
        meant = ~Q(failure_reason__in=named) if reason == OTHER_REASON else Q(failure_reason=reason)
        return queryset.filter(meant, state="failed")


class SilentFilter(admin.SimpleListFilter):
    """Processes that have not reported for too long."""

    title = "silent"
    parameter_name = "silent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One answer."""
        return [("yes", "silent")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Heartbeat]) -> QuerySet[Heartbeat]:
        """Those."""
        return queryset.filter(at__lt=figures.silent_since(timezone.now())) if self.value() == "yes" else queryset


class AlertsFilter(admin.SimpleListFilter):
    """Alerts that stand, and those that are over."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Each."""
        return [("yes", "stands"), ("checks", "stands, of a check"), ("no", "right again")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        """Those."""
        chosen = {"yes": Q(cleared_at=None), "checks": figures.CHECKS, "no": Q(cleared_at__isnull=False)}
        condition = chosen.get(self.value() or "")
        return queryset.filter(condition) if condition else queryset
