"""The filters beside the list of orders: those that `manage.py orders` has too."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from orders.filtering import Filter
from orders.models import ChannelOrder


class Asked(admin.SimpleListFilter):
    """One filter of the list."""

    question: Filter

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Each answer, or each that finds something; and what is asked in any case, else nothing would be filtered."""
        offered = self.question.worth_showing
        shown = offered() | {request.GET.get(self.question.asks, "")} if offered else None
        return [(value, words) for value, words in self.question.choices() if shown is None or value in shown]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChannelOrder]) -> QuerySet[ChannelOrder]:
        """Those that it is true of; all of them where it was not asked, or is no answer."""
        value = self.value()
        condition = self.question.of(value, timezone.now()) if value else None
        return queryset if condition is None else queryset.filter(condition)


def filter_of(question: Filter) -> type[Asked]:
    """The class that the admin wants."""
    name = f"{question.name.capitalize()}Filter"
    return type(name, (Asked,), {"question": question, "title": question.title, "parameter_name": question.asks})
