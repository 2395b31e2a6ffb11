"""What we earn: a page for a chosen period, channel by channel, and the same as a table to take away."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_safe

from orders import figures
from orders.admin.shown import NOTHING, cut, moment, order_link
from orders.figures import ChannelEarned, Earnings, Parts, Period
from orders.figures.earning import ORDERS
from orders.ids import short

PER_PAGE: Final = 50
#: Whoever wants more than ten thousand channels takes the table.
MOST_PAGES: Final = 200
_UNTOLD: Final = timedelta(days=30)
#: Days of UTC, the last included.
_SPANS: Final = {"week": 7, "month": 30, "quarter": 91, "year": 365, "ever": 36_500}
_FIRST_DAY: Final = date(2009, 1, 3)
_LAST_DAY: Final = date(2999, 12, 31)


class Asked(forms.Form):
    """What the page is asked for, in its address."""

    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    o = forms.ChoiceField(required=False, choices=[(name, name) for name in ORDERS])
    way = forms.ChoiceField(required=False, choices=[("asc", "asc"), ("desc", "desc")])
    p = forms.IntegerField(required=False, min_value=1, max_value=MOST_PAGES)

    def clean(self) -> dict[str, Any]:
        """The whole of it: thirty days, where nobody has said which."""
        given: dict[str, Any] = super().clean() or {}
        today = timezone.now().astimezone(UTC).date()
        last = given.get("until") or today
        first = given.get("since") or max(_FIRST_DAY, last - _UNTOLD)
        if not _FIRST_DAY <= first <= last <= _LAST_DAY:
            raise forms.ValidationError("The first day is after the last, or there are no such days.")
        return {
            "since": first,
            "until": last,
            "o": given.get("o") or "profit",
            "way": given.get("way") or "desc",
            "p": given.get("p") or 1,
        }


@dataclass(frozen=True, slots=True)
class Column:
    """A part of what is earned, as the page and the table have it."""

    title: str
    order: str
    show: Callable[[ChannelEarned], object]


def msat(amount: int) -> str:
    """In satoshis; what is below one only where there is any."""
    sat, rest = divmod(abs(amount), 1000)
    return f"{'−' if amount < 0 else ''}{sat:,}{f'.{rest:03}' if rest else ''}"


def percent(ppm: int | None) -> str:
    """With two places."""
    if ppm is None:
        return NOTHING
    whole, rest = divmod(abs(ppm) // 100, 100)
    return f"{'−' if ppm < 0 else ''}{whole:,}.{rest:02} %"


_COLUMNS: Final = (
    Column("order", "", lambda each: order_link(each.order_id)),
    Column("channel", "", lambda each: each.short_channel_id or NOTHING),
    Column("node", "", lambda each: cut(each.node_pubkey)),
    Column("opened", "opened", lambda each: moment(each.opened_at)),
    Column("closed", "", lambda each: moment(each.closed_at)),
    Column("capacity", "capacity", lambda each: f"{each.capacity_sat:,}"),
    Column("sale fee", "sale", lambda each: msat(each.parts.sale_fees_msat)),
    Column("routing", "routing", lambda each: msat(each.parts.routing_msat)),
    Column("costs", "costs", lambda each: msat(each.parts.costs_msat - each.parts.refund_borne_msat)),
    Column("capital", "capital", lambda each: msat(each.parts.capital_cost_msat)),
    Column("profit", "profit", lambda each: msat(each.parts.profit_msat)),
    Column("a year", "yearly", lambda each: percent(each.parts.yearly_ppm)),
)
_NAMED: Final = (
    ("sale fees", 1, "sale_fees_msat"),
    ("routing fees", 1, "routing_msat"),
    ("fundings, and what put them out", -1, "open_cost_msat"),
    ("children that paid for fundings", -1, "bump_cost_msat"),
    ("closes and sweeps", -1, "close_cost_msat"),
    ("sending refunds", -1, "refund_cost_msat"),
    ("of that, borne by buyers", 1, "refund_borne_msat"),
    ("losses: fees given back, channels unpaid, corrections", -1, "losses_msat"),
    ("capital", -1, "capital_cost_msat"),
    ("profit", 1, "profit_msat"),
)


class EarningsAdmin(admin.ModelAdmin):
    """A model admin of orders with the page of what they earn."""

    def get_urls(self) -> list[URLPattern]:
        """The page, and the table."""
        page = path("earnings/", self.admin_site.admin_view(require_safe(self.earnings_view)), name="orders_earnings")
        table = path(
            "earnings.csv", self.admin_site.admin_view(require_safe(self.table_view)), name="orders_earnings_csv"
        )
        return [page, table, *super().get_urls()]

    def earnings_view(self, request: HttpRequest) -> HttpResponse:
        """For who may look at orders."""
        asked = self._asked(request)
        given = asked.cleaned_data if asked.is_valid() else _usual()
        found = figures.earnings(
            _period(given),
            timezone.now(),
            order_by=given["o"],
            descending=given["way"] == "desc",
            offset=(given["p"] - 1) * PER_PAGE,
            limit=PER_PAGE,
        )
        books = figures.books(timezone.now())
        context = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, "asked": asked}
        context["astray"] = None if books is None or books.adds_up else books
        return TemplateResponse(request, "admin/orders/channelorder/earnings.html", context | _told(found, given))

    def table_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """A line for each channel, sent while it is read. No order's whole id is there: it is the right to claim."""
        asked = self._asked(request)
        if not asked.is_valid():
            return HttpResponse("There is no such period.", status=400, content_type="text/plain")
        given = asked.cleaned_data
        answer = StreamingHttpResponse(_lines(_period(given), given["o"]), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="earnings-{given["since"]}-{given["until"]}.csv"'
        return answer

    def _asked(self, request: HttpRequest) -> Asked:
        """Raises: PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.GET.copy()
        given["since"], given["until"] = given.get("from", ""), given.get("to", "")
        return Asked(given)


def _usual() -> dict[str, Any]:
    usual = Asked({})
    usual.is_valid()
    return usual.cleaned_data


def _period(given: dict[str, Any]) -> Period:
    first, last = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (given["since"], given["until"]))
    return Period(first, last + timedelta(days=1))


def _told(found: Earnings, given: dict[str, Any]) -> dict[str, Any]:
    pages = min(MOST_PAGES, max(1, -(-found.channels // PER_PAGE)))
    return {
        "title": "What we earn",
        "first": found.first,
        "last": found.last,
        "spans": [(name, _query(_span(days))) for name, days in _SPANS.items()],
        "sums": list(_sums(found)),
        "yearly": percent(found.total.yearly_ppm),
        "unpaid": msat(-found.unpaid_msat) if found.unpaid_msat else "",
        "channels": found.channels,
        "heads": [_head(each, given) for each in _COLUMNS],
        "titles": [each.title for each in _COLUMNS],
        "lists": [(name, _rows(rows)) for name, rows in (("The best", found.best), ("The worst", found.worst)) if rows],
        "alike": _alike(found),
        "rows": _rows(found.rows),
        "page": given["p"],
        "pages": pages,
        "before": _query(given, p=given["p"] - 1) if given["p"] > 1 else "",
        "after": _query(given, p=given["p"] + 1) if given["p"] < pages else "",
        "table": _query({"since": given["since"], "until": given["until"]}) + f"&o={given['o']}",
    }


def _sums(found: Earnings) -> Iterator[tuple[str, ...]]:
    """A line for each part: in all, and what of it is of channels, and of none."""
    for words, sign, name in _NAMED:
        whole, beside = getattr(found.total, name), getattr(found.beside, name)
        yield words, *(msat(sign * each) for each in (whole, whole - beside, beside))


def _alike(found: Earnings) -> str:
    """Of channels that are neither among the best nor among the worst, as they have all earned the same."""
    if not found.alike:
        return ""
    which = "All" if found.alike == found.channels else "The other"
    return f"{which} {found.alike:,} channels have earned the same, {msat(found.alike_msat)} sat each."


def _span(days: int) -> dict[str, Any]:
    today = timezone.now().astimezone(UTC).date()
    return {"since": max(_FIRST_DAY, today - timedelta(days=days - 1)), "until": today}


def _query(given: dict[str, Any], **changes: Any) -> str:
    """What orders the list first: the same days in another order are no other page."""
    names = {"o": "o", "way": "way", "p": "p", "since": "from", "until": "to"}
    asked = {**given, **changes}
    return "?" + urlencode({name: asked[key] for key, name in names.items() if key in asked})


def _head(column: Column, given: dict[str, Any]) -> tuple[str, str, str]:
    """The title, the address that orders by it, and how the list is ordered by it now."""
    if not column.order:
        return column.title, "", ""
    is_it = given["o"] == column.order
    way = "asc" if is_it and given["way"] == "desc" else "desc"
    now = {"desc": "descending", "asc": "ascending"}[given["way"]] if is_it else "none"
    return column.title, _query(given, o=column.order, way=way, p=1), now


def _rows(found: Iterable[ChannelEarned]) -> list[list[object]]:
    return [[column.show(each) for column in _COLUMNS] for each in found]


# The table

_HEAD: Final = (
    "order", "node", "channel", "capacity_sat", "opened_at", "closed_at", *Parts.__dataclass_fields__, "profit_msat",
    "yearly_ppm",
)  # fmt: skip


class _Echo:
    """What is written is what is sent."""

    def write(self, text: str) -> str:
        """The text itself."""
        return text


def _lines(period: Period, order_by: str) -> Iterator[str]:
    lines = csv.writer(_Echo())
    yield lines.writerow(_HEAD)  # type: ignore[misc]  # as the echo has it
    for each in figures.channels_earned(period, timezone.now(), order_by=order_by):
        yield lines.writerow(_line(each))  # type: ignore[misc]


def _line(each: ChannelEarned) -> list[object]:
    moments = [at.isoformat() if at else "" for at in (each.opened_at, each.closed_at)]
    parts = [getattr(each.parts, name) for name in Parts.__dataclass_fields__]
    yearly = "" if each.parts.yearly_ppm is None else each.parts.yearly_ppm
    named = [short(each.order_id), each.node_pubkey, each.short_channel_id, each.capacity_sat]
    return [*named, *moments, *parts, each.parts.profit_msat, yearly]
