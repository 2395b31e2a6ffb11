"""How values look in the admin: amounts, times, states, links. And the base of everything that is only read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orders import story
from orders.admin import explorers
from orders.admin.counting import Estimating
from orders.admin.discretion import DiscreetAdmin, order_page
from orders.ids import short, shortened
from orders.models import Flag, OrderEvent
from orders.states import ClosingState, DepositState, InvoiceState, OpeningState, OrderState, RefundState
from orders.windows import usable_until

NOTHING: Final = "–"

Column = Callable[[Any, Any], Any]

#: Which colour a state has; orders/static/orders/admin.css knows the tones.
_TONES: Final[dict[str, str]] = {
    OrderState.CREATED: "idle",
    OrderState.PAID: "busy",
    OrderState.URI_SET: "busy",
    OrderState.OPENING: "busy",
    OrderState.OPEN: "good",
    OrderState.CLOSING: "ending",
    OrderState.CLOSED: "over",
    OrderState.REFUNDED: "over",
    OrderState.EXPIRED: "over",
    OrderState.REJECTED: "bad",
    OrderState.GIVE_UP: "bad",
}
_INVOICE_TONES: Final[dict[str, str]] = {
    InvoiceState.OPEN: "idle",
    InvoiceState.HELD: "busy",
    InvoiceState.RETURNING: "ending",
    InvoiceState.CANCELLED: "over",
    InvoiceState.SETTLED: "good",
}
_DEPOSIT_TONES: Final[dict[str, str]] = {
    DepositState.SEEN: "busy",
    DepositState.CONFIRMED: "good",
    DepositState.VANISHED: "bad",
}
_REFUND_TONES: Final[dict[str, str]] = {
    RefundState.DUE: "ending",
    RefundState.SIGNED: "busy",
    RefundState.PUBLISHED: "busy",
    RefundState.DONE: "good",
    RefundState.WITHDRAWN: "over",
    RefundState.KEPT: "bad",
    RefundState.PROPOSED: "bad",
}
_CLOSING_TONES: Final[dict[str, str]] = {
    ClosingState.WAITING: "ending",
    ClosingState.UNDER_WAY: "busy",
    ClosingState.DONE: "good",
    ClosingState.WITHDRAWN: "over",
}
#: By the names of their models.
_TONES_OF: Final = {
    "channelorder": _TONES,
    "holdinvoice": _INVOICE_TONES,
    "onchainpayment": _DEPOSIT_TONES,
    "refund": _REFUND_TONES,
    "channelclosing": _CLOSING_TONES,
}
_ENDING_OPENINGS: Final = {OpeningState.CONFLICTING, OpeningState.CANCELLING}


def mark(text: object, tone: str) -> SafeString:
    """A coloured word."""
    return format_html('<span class="lsp-mark lsp-{}">{}</span>', tone, text)


def flag_mark(flag: Flag) -> SafeString:
    """The kind of a flag, in the colour of what stands, or is over."""
    return mark(flag.label, "alarm" if flag.stands else "over")


def state_mark(row: Any) -> SafeString:
    """The state of an order, a payment, a refund or an attempt, in its colour."""
    return mark(row.get_state_display(), _tone(row))


def _tone(row: Any) -> str:
    if row._meta.model_name in _TONES_OF:
        return _TONES_OF[row._meta.model_name].get(row.state, "idle")
    if row.state == OpeningState.FAILED:
        return "bad"
    if row.state == OpeningState.CONFIRMED:
        return "good"
    return "ending" if row.state in _ENDING_OPENINGS else "busy"


def sats(field: str, label: str) -> Column:
    """A column with the amount in `field`, its thousands apart."""

    @admin.display(description=f"{label} (sat)", ordering=field)
    def column(self: Any, row: Any) -> str:
        value = getattr(row, field)
        return NOTHING if value is None else f"{value:,}"

    return column


def once_signed(field: str, label: str) -> Column:
    """As `sats`, of a refund: before it is signed nobody knows what it costs."""

    @admin.display(description=f"{label} (sat)")
    def column(self: Any, row: Any) -> str:
        return f"{getattr(row, field):,}" if row.transaction_id else NOTHING

    return column


def at(field: str, label: str) -> Column:
    """A column with the time in `field`, short, and to the second where the pointer rests."""

    @admin.display(description=label, ordering=field)
    def column(self: Any, row: Any) -> SafeString | str:
        return moment(getattr(row, field))

    return column


def exactly(field: str, label: str) -> Column:
    """As `at`, the whole of it."""

    @admin.display(description=label, ordering=field)
    def column(self: Any, row: Any) -> str:
        return story.when(getattr(row, field))

    return column


def usable(field: str, label: str) -> Column:
    """As `exactly`, of a window that may end earlier, as what is held for the order does."""

    @admin.display(description=label, ordering=field)
    def column(self: Any, row: Any) -> str:
        return story.when(usable_until(row, getattr(row, field)))

    return column


def text(field: str, label: str) -> Column:
    """A column with the words in `field`. Of an order that they name, everybody reads the beginning of its id."""

    @admin.display(description=label, ordering=field)
    def column(self: Any, row: Any) -> str:
        return shortened(getattr(row, field)) or NOTHING

    return column


def moment(value: datetime | None) -> SafeString | str:
    """Day and minute; the whole is the title."""
    if value is None:
        return NOTHING
    return format_html('<span class="lsp-time" title="{}">{}</span>', story.when(value), f"{value:%b %d, %H:%M}")


def code(text: str) -> SafeString | str:
    """A key, hash or address, whole, that may break anywhere."""
    return format_html('<code class="lsp-code">{}</code>', text) if text else NOTHING


def txid(text: str) -> SafeString | str:
    """A transaction's id, whole: our own record of it is a search away, an explorer's page a link."""
    return format_html("{}{}", code(text), explorers.transaction(text)) if text else NOTHING


def outpoint(text: str) -> SafeString | str:
    """As `txid`, with the output."""
    return format_html("{}{}", code(text), explorers.transaction(text.partition(":")[0])) if text else NOTHING


def node_key(text: str) -> SafeString | str:
    """A node's key, whole, with its host where there is one, and its page at an explorer."""
    return format_html("{}{}", code(text), explorers.node(text.partition("@")[0])) if text else NOTHING


def row_link(row: Model, text: object) -> SafeString:
    """The page of a record of ours."""
    return format_html(
        '<a href="{}">{}</a>', reverse(f"admin:orders_{row._meta.model_name}_change", args=[row.pk]), text
    )


def cut(text: str, length: int = 12) -> SafeString | str:
    """The beginning of a key or hash; the whole is the title."""
    if not text:
        return NOTHING
    return format_html('<code title="{}">{}…</code>', text, text[:length])


def moved(event: OrderEvent) -> SafeString | str:
    """From which state to which, where a journal row tells of a move."""
    if event.from_state == event.to_state:
        return NOTHING
    before = OrderState(event.from_state).label if event.from_state else "new"
    return format_html("{} → <b>{}</b>", before, OrderState(event.to_state).label)


def pairs(rows: list[tuple[str, str]]) -> SafeString | str:
    """Names and values, one a line, with no order's whole id."""
    told = [(name, shortened(value)) for name, value in rows]
    return format_html_join("", '<div><span class="lsp-quiet">{}</span> {}</div>', told) if told else NOTHING


def order_link(order_id: UUID) -> SafeString:
    """The order's short id, which leads to its page."""
    return format_html('<a href="{}"><code>{}</code></a>', order_page(order_id), short(order_id))


class Forbidden:
    """Nobody adds, changes or deletes by the admin, whatever their permissions say."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


class ReadOnlyAdmin(Forbidden, DiscreetAdmin):
    """Rows to be read."""

    change_form_template = "admin/orders/record.html"
    list_per_page = 50
    show_full_result_count = False
    paginator = Estimating

    class Media:
        css = {"all": ["orders/admin.css"]}

    @admin.display(description="order", ordering="order")
    def order_column(self, row: Any) -> SafeString:
        """The order's page is one click away."""
        return order_link(row.order_id)

    @admin.display(description="state", ordering="state")
    def state_column(self, row: Any) -> SafeString:
        """In its colour."""
        return state_mark(row)
