"""What is kept from staff who may look at orders and not steer them: an order's whole id, which is the right to claim.

No address of a page has it, and no question that a list answers can be used to feel for it, digit by digit.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NoReturn
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.urls import reverse

from orders import keys
from orders.admin.counting import MOST_COUNTED
from orders.models import ChannelOrder
from orders.searching import named

#: What the filters beside a list, and its days, add to a field's name.
_ASKED: Final = (
    *("", "__exact", "__isnull", "__id__exact"),  # of choices, words, yes and no, and other rows
    *("__gte", "__lt", "__year", "__month", "__day"),
)


def may_steer(request: HttpRequest) -> bool:
    """Deeds need the permission to change orders, which allows nothing else here but to see an order's whole id."""
    return bool(request.user.has_perm("orders.change_channelorder"))


def order_page(order_id: UUID) -> str:
    """The address of the order's page."""
    return reverse("admin:orders_channelorder_change", args=[keys.reference(order_id)])


def _asked_by(filtered: Any) -> str:
    """The name under which one of `list_filter` asks: a field's, a field's with its filter, or the filter's own."""
    if isinstance(filtered, tuple):
        return str(filtered[0])
    return filtered if isinstance(filtered, str) else getattr(filtered, "parameter_name", "")


class DiscreetAdmin(admin.ModelAdmin):
    """A list that is asked what its filters and its search box ask, and nothing else."""

    #: The ways from a row to its order, where the search box finds rows by their order's name.
    order_paths: ClassVar[tuple[str, ...]] = ()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Django answers any question about a row's own fields, and about rows that refer to it."""
        offered = map(_asked_by, self.list_filter)
        return lookup in {f"{name}{asked}" for name in (*offered, self.date_hierarchy) if name for asked in _ASKED}

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """No form lets anybody choose one of these rows, so nobody is given a list of their ids to choose from."""
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> NoReturn:
        """Nobody changes these by hand, so Django has no history of them. Raises: Http404."""
        raise Http404

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the fields of `search_fields`, and by the order's name: each by an index of its own.

        Of each no more than the newest that a list counts.
        """
        fields = list(self.get_search_fields(request))
        if not (fields or self.order_paths):
            return queryset, False  # there is no box to write into
        rows = self.model._default_manager.order_by("-pk").values("pk")
        words = search_term.split()
        for name in [search_term] if any(map(keys.order_of_reference, words)) else words:
            asked = [*(_looked_for(field, name) for field in fields), *self._of_orders(request, name)]
            first, *others = [rows.filter(each)[: MOST_COUNTED + 1] for each in asked]
            queryset = queryset.filter(pk__in=first.union(*others) if others else first)
        return queryset, False

    def _of_orders(self, request: HttpRequest, name: str) -> list[Q]:
        orders = ChannelOrder.objects.filter(named(name, whole_ids=may_steer(request))).order_by().values("pk")
        return [Q(**{f"{path}__in": orders}) for path in self.order_paths]


def _looked_for(field: str, word: str) -> Q:
    """Django asks "=" without regard to capitals, which no index answers."""
    if field.startswith("="):
        return Q(**{f"{field[1:]}__in": {word, word.lower()}})
    return Q(**{field if "__" in field else f"{field}__icontains": word})
