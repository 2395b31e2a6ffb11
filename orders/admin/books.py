"""The books: read, and taken away as a table for an accountant."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.safestring import SafeString

from orders.admin.inlines import Belonging
from orders.admin.shown import NOTHING, ReadOnlyAdmin, at, cut, exactly, mark, order_link, pairs, text, txid
from orders.books import exporting
from orders.models import BooksCheck, Entry, Leg


def _msat(amount: int) -> str:
    """In satoshis, with what is below one only where there is any."""
    sat, rest = divmod(abs(amount), 1000)
    return f"{sat:,}.{rest:03} sat" if rest else f"{sat:,} sat"


def legs_shown(row: Entry) -> SafeString | str:
    """One a line: the account, what it got or gave."""
    return pairs(
        [
            (leg.get_account_display(), f"{_msat(leg.amount_msat)} {'debit' if leg.amount_msat > 0 else 'credit'}")
            for leg in row.legs.all()
        ]
    )


class EntryInline(Belonging):
    """What the books have of the order."""

    model = Entry
    verbose_name_plural = "books"
    fields = ["posted", "kind", "legs_column", "txid_shown", "reference"]
    ordering = ["id"]

    posted = at("at", "at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        """With the legs, in two statements."""
        return super().get_queryset(request).prefetch_related("legs")

    @admin.display(description="legs")
    def legs_column(self, row: Entry) -> SafeString | str:
        """What each account got or gave."""
        return legs_shown(row)

    @admin.display(description="transaction")
    def txid_shown(self, row: Entry) -> SafeString | str:
        """Its beginning."""
        return cut(row.txid)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """The entries of all orders, and of none, the newest first."""

    list_display = ["id", "posted", "kind", "order_column", "legs_column", "txid_short"]
    list_filter = ["kind", "legs__account", "at"]
    search_fields = ["txid__startswith", "=reference"]
    search_help_text = "A transaction; an entry's reference; an order's id or reference."
    order_paths = ("order",)
    ordering = ["-id"]
    fields = ["order_column", ("kind", "reference"), "posted_exactly", "legs_column", "txid_whole", "said"]
    actions = ["as_csv"]
    posted = at("at", "at")
    said = text("words", "words")
    posted_exactly = exactly("at", "at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        """With the legs."""
        return super().get_queryset(request).prefetch_related("legs")

    @admin.display(description="order", ordering="order")
    def order_column(self, row: Any) -> SafeString:
        """The order's page is one click away, where it is of an order."""
        return order_link(row.order_id) if row.order_id else SafeString(NOTHING)

    @admin.display(description="legs")
    def legs_column(self, row: Entry) -> SafeString | str:
        """What each account got or gave."""
        return legs_shown(row)

    @admin.display(description="transaction", ordering="txid")
    def txid_short(self, row: Entry) -> SafeString | str:
        """Its beginning."""
        return cut(row.txid)

    @admin.display(description="transaction")
    def txid_whole(self, row: Entry) -> SafeString | str:
        """What moved coins of the wallet."""
        return txid(row.txid)

    @admin.action(description="Download the selected entries as CSV", permissions=["view"])
    def as_csv(self, request: HttpRequest, queryset: QuerySet[Entry]) -> StreamingHttpResponse:
        """A line for each leg, read while they are sent: there may be any number of them."""
        legs = Leg.objects.filter(entry__in=queryset.order_by().values("pk"))
        answer = StreamingHttpResponse(exporting.pieces(legs), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="books.csv"'
        return answer


@admin.register(BooksCheck)
class BooksCheckAdmin(ReadOnlyAdmin):
    """What each look at the books has found, the newest first."""

    list_display = ["made", "outcome", "said"]
    list_filter = ["adds_up", "at"]
    fields = ["made", "outcome", "said", "found"]
    made = at("at", "at")
    said = text("words", "words")

    @admin.display(description="they", ordering="adds_up")
    def outcome(self, row: BooksCheck) -> SafeString:
        """In a colour."""
        return mark("add up", "good") if row.adds_up else mark("do not add up", "bad")

    @admin.display(description="found")
    def found(self, row: BooksCheck) -> SafeString | str:
        """One a line."""
        return pairs([(name.replace("_", " "), str(value)) for name, value in row.facts.items()])
