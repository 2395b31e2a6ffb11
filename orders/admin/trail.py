"""Who did or saw what: read, and by nobody written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from orders.admin.shown import NOTHING, ReadOnlyAdmin, at, exactly, mark, order_link, pairs, text
from orders.models import AuditEntry, AuditKind

_BAD = {AuditKind.LOGIN_REFUSED, AuditKind.LOGIN_THROTTLED, AuditKind.FACTOR_REFUSED, AuditKind.DEED_REFUSED}
_MOST_PEOPLE = 100


class PersonFilter(admin.SimpleListFilter):
    """Lines by who it was."""

    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Everybody who ever did anything."""
        people = AuditEntry.objects.order_by("person").values_list("person", flat=True).distinct()[:_MOST_PEOPLE]
        return [(person, person) for person in people if person]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Theirs."""
        return queryset.filter(person=self.value()) if self.value() else queryset


class AboutFilter(admin.SimpleListFilter):
    """Lines by whether they are about an order."""

    title = "order"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Either."""
        return [("order", "about an order"), ("none", "about none")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Those."""
        return queryset.filter(order__isnull=self.value() == "none") if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """The trail, the newest first. Of one order: by its id or reference, in the search box."""

    list_display = ["happened", "who", "kind_shown", "said", "order_column"]
    list_filter = [PersonFilter, "kind", AboutFilter, "at"]
    search_fields = ["=person"]
    search_help_text = "An account; an order's id or reference."
    order_paths = ("order",)
    ordering = ["-id"]
    fields = ["happened_exactly", "who", "kind_shown", "said", "order_column", "facts_shown"]
    happened = at("at", "at")
    happened_exactly = exactly("at", "at")
    said = text("words", "what")

    @admin.display(description="who", ordering="person")
    def who(self, row: AuditEntry) -> str:
        """The account or command, and its groups."""
        return row.actor or "nobody known"

    @admin.display(description="kind", ordering="kind")
    def kind_shown(self, row: AuditEntry) -> SafeString | str:
        """What was refused is in a colour."""
        label = row.get_kind_display()
        return mark(label, "bad") if row.kind in _BAD else label

    @admin.display(description="order", ordering="order")
    def order_column(self, row: Any) -> SafeString:
        """The order's page, where it is about one."""
        return order_link(row.order_id) if row.order_id else SafeString(NOTHING)

    @admin.display(description="facts")
    def facts_shown(self, row: AuditEntry) -> SafeString | str:
        """One a line; of what was changed, what it was and what it is."""
        return pairs([(name.replace("_", " "), _fact(value)) for name, value in row.facts.items()])


def _fact(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        before, after = (_word(each) for each in value)
        return f"{before} → {after}"
    return _word(value)


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "nothing" if value in (None, "") else str(value)
