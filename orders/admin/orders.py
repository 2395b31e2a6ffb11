"""The list of orders and the page of one, in the order in which a person asks."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orders import keys, story, trail
from orders.admin.books import EntryInline
from orders.admin.deeds import DEEDS
from orders.admin.discretion import order_page
from orders.admin.earnings import EarningsAdmin
from orders.admin.filters import filter_of
from orders.admin.inlines import (
    ClosingInline,
    DepositInline,
    EventInline,
    FlagInline,
    InvoiceInline,
    OpeningInline,
    RefundInline,
)
from orders.admin.page import glance
from orders.admin.shown import (
    NOTHING,
    ReadOnlyAdmin,
    at,
    code,
    cut,
    exactly,
    mark,
    node_key,
    outpoint,
    row_link,
    sats,
    state_mark,
    text,
    txid,
    usable,
)
from orders.admin.steering import SteeringAdmin, acting, actions, may_do
from orders.filtering import FILTERS
from orders.ids import short
from orders.models import ChannelOrder, Flag
from orders.models.order import Rail
from orders.queries import orders_with_details
from orders.searching import matching

_STANDING: Final = Prefetch("flags", Flag.objects.filter(lowered_at=None))


class OrderList(ChangeList):
    """A list that names orders by their references; it is no form's window to choose one from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_popup = False  # it would have the ids of the rows

    def url_for_result(self, result: Any) -> str:
        """The order's page."""
        return order_page(result.pk)


@admin.register(ChannelOrder)
class OrderAdmin(SteeringAdmin, EarningsAdmin, ReadOnlyAdmin):
    """Orders: found, read, and steered by deeds. No field of one is ever edited here."""

    change_form_template = "admin/orders/channelorder/change_form.html"
    actions = actions()
    list_display = ["short_id", "state_column", "flags", "sizes", "total", "paid_by", "door", "node", "created", "due"]
    list_filter = [*map(filter_of, FILTERS.values()), "created_at"]
    list_select_related = ["hold_invoice"]
    ordering = ["-created_at"]
    search_fields = ["id"]  # shows the box; get_search_results does the looking
    search_help_text = (
        "An id; an invoice or its memo; a node's key; a payment hash; an address; a transaction; a channel's id."
    )
    inlines = [
        FlagInline, InvoiceInline, DepositInline, RefundInline, OpeningInline, ClosingInline, EntryInline, EventInline,
    ]  # fmt: skip
    fieldsets = [
        (
            "What was ordered",
            {"fields": ["full_id", "came_by", "capacity", "term", "public", "funding_promise", "service_sold"]},
        ),
        ("At which price", {"fields": ["price", "total_due", "budget", "created_exactly", "quoted_sat_per_kw"]}),
        ("Paid how", {"fields": ["money", "paid", "expires", "deposit_to", "refund_to"]}),
        ("For which node", {"fields": ["node_whole", "node_host", "no_public", "warned", "claimed", "claim_expires"]}),
        ("Where is it", {"fields": ["state_column", "channel", "opened", "closed"]}),
        ("For how long, and at which fee", {"fields": ["lease_starts", "lease_ends", "gift", "promise"]}),
        (
            "Why does it wait",
            {
                "fields": [
                    "waits",
                    "due_exactly",
                    "open_deadline",
                    "failed_openings",
                    "last_failure_reason",
                    "give_up_reason",
                    "coins",
                    "retry_until",
                    "flags",
                ]
            },
        ),
    ]

    total = sats("order_total_sat", "total")
    created = at("created_at", "created")
    due = at("due_at", "due")
    paid = exactly("paid_at", "paid")
    expires = exactly("expires_at", "to be paid until")
    claimed = exactly("claimed_at", "claimed")
    claim_expires = usable("claim_expires_at", "to be claimed until")
    opened = exactly("opened_at", "opened")
    closed = exactly("closed_at", "closed")
    open_deadline = usable("open_deadline_at", "gives up at")
    retry_until = usable("give_up_until", "retry possible until")
    reason = text("needs_staff_reason", "needs staff reason")

    @admin.display(description="coins")
    def coins(self, order: ChannelOrder) -> str:
        """How firmly they are promised."""
        reservation = getattr(order, "reservation", None)
        return reservation.shown if reservation else NOTHING

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelOrder]:
        """On an order's own page with all that is told of it; in the list with the flags that stand."""
        match = request.resolver_match
        if match is not None and match.url_name == "orders_channelorder_change":
            return orders_with_details().prefetch_related("flags", "refunds", "closings")
        return super().get_queryset(request).prefetch_related(_STANDING)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ChannelOrder], search_term: str
    ) -> tuple[QuerySet[ChannelOrder], bool]:
        """Whatever a person has in hand; no row comes twice."""
        return queryset.filter(matching(search_term, whole_ids=self.has_steer_permission(request))), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> ChannelOrder | None:
        """The order of this reference: an address of a page never has the id."""
        order_id = keys.order_of_reference(object_id)
        return None if order_id is None else self.get_queryset(request).filter(pk=order_id).first()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Ours."""
        return OrderList

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[tuple[Any, Any]]:
        """Who may not steer the order sees the beginning of its id."""
        (name, first), *others = super().get_fieldsets(request, obj)
        if self.has_steer_permission(request):
            return [(name, first), *others]
        fields = ["short_id" if field == "full_id" else field for field in first["fields"]]
        return [(name, {**first, "fields": fields}), *others]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the way back for deeds."""
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "back": request.path})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With a button for each deed that fits the order."""
        order: ChannelOrder | None = context.get("original")
        if order is not None:
            may = self.has_steer_permission(request)
            if may:
                trail.saw("the whole id", [order.pk], actor=acting(request))
            fitting = [deed for deed in DEEDS.values() if may and may_do(request, deed) and deed.fits(order)]
            context["deeds"] = [deed for deed in fitting if not (deed.is_aside or deed.is_for_many)]
            context["asides"] = [deed for deed in fitting if deed.is_aside]
            context["state"] = state_mark(order)
            context["may"] = may
            context |= glance(order, timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="order", ordering="id")
    def short_id(self, order: ChannelOrder) -> SafeString:
        """Its beginning."""
        return format_html("<code>{}</code>", short(order.pk))

    @admin.display(description="order")
    def full_id(self, order: ChannelOrder) -> SafeString | str:
        """Whole."""
        return code(str(order.pk))

    @admin.display(description="came by")
    def came_by(self, order: ChannelOrder) -> str:
        """The door, and the token shown at it."""
        return story.came_by(order)

    @admin.display(description="funding promised")
    def funding_promise(self, order: ChannelOrder) -> str:
        """How soon, and from when on the channel is usable."""
        return story.funding_promise(order)

    @admin.display(description="size (sat)", ordering="lsp_balance_sat")
    def sizes(self, order: ChannelOrder) -> SafeString:
        """Our side, and what is pushed."""
        title = f"our side + pushed to the buyer, for {story.term(order.channel_expiry_blocks)}"
        pushed = f" + {order.client_balance_sat:,}" if order.client_balance_sat else ""
        return format_html('<span title="{}">{}{}</span>', title, f"{order.lsp_balance_sat:,}", pushed)

    @admin.display(description="channel")
    def capacity(self, order: ChannelOrder) -> str:
        """Both sides, and what each is."""
        sides = f"{order.lsp_balance_sat:,} ours + {order.client_balance_sat:,} pushed to the buyer"
        return f"{story.sat(order.capacity_sat)} = {sides}"

    @admin.display(description="price")
    def price(self, order: ChannelOrder) -> str:
        """All fees together, and each part: as the API calls it."""
        parts = {
            "base": order.base_fee_sat,
            "lease": order.lease_fee_sat,
            "opening": order.open_fee_sat,
            "closing": order.close_fee_sat,
            "up to the least": order.floor_fee_sat,
        }
        sum_of = " + ".join(f"{amount:,} {name}" for name, amount in parts.items() if amount)
        less = f" − {order.discount_sat:,} by coupon {order.coupon}" if order.coupon else ""
        return f"{story.sat(order.fee_total_sat)} = {sum_of}{less}"

    @admin.display(description="total to pay")
    def total_due(self, order: ChannelOrder) -> str:
        """The price, and what is pushed to the buyer."""
        if not order.client_balance_sat:
            return story.sat(order.order_total_sat)
        parts = f"{order.fee_total_sat:,} price + {order.client_balance_sat:,} pushed to the buyer"
        return f"{story.sat(order.order_total_sat)} = {parts}"

    budget = sats("fee_budget_sat", "its chain fees may be")

    @admin.display(description="term")
    def term(self, order: ChannelOrder) -> str:
        """How long the channel is promised."""
        return story.term(order.channel_expiry_blocks)

    @admin.display(description="channel is")
    def public(self, order: ChannelOrder) -> str:
        """Whether the channel is public, as things stand. In words: either is well."""
        return "public" if order.is_announced else "private"

    @admin.display(description="takes no public channel")
    def no_public(self, order: ChannelOrder) -> SafeString | str:
        """The node that has refused one."""
        return code(order.announce_refused_by)

    @admin.display(description="was warned")
    def warned(self, order: ChannelOrder) -> str:
        """What its buyer was told before he paid."""
        return story.warned(order) or NOTHING

    @admin.display(description="paid by", ordering="counted_payment")
    def paid_by(self, order: ChannelOrder) -> SafeString | str:
        """The rail, and where the Lightning payment is."""
        rail = order.get_counted_payment_display()
        invoice = order.invoice
        if order.counted_payment == Rail.LIGHTNING and invoice is not None:
            return format_html("{} {}", rail, state_mark(invoice))
        return rail or NOTHING

    @admin.display(description="money")
    def money(self, order: ChannelOrder) -> str:
        """Where it is."""
        return story.paid_with(order)

    @admin.display(description="created")
    def created_exactly(self, order: ChannelOrder) -> str:
        """When, and at which block."""
        return f"{story.when(order.created_at)}, block {order.created_height:,}"

    @admin.display(description="next look")
    def due_exactly(self, order: ChannelOrder) -> str:
        """When we look by ourselves."""
        return story.when(order.due_at) if order.due_at else "when something happens"

    @admin.display(description="deposit address")
    def deposit_to(self, order: ChannelOrder) -> SafeString | str:
        """Whole."""
        return code(order.deposit_address or "")

    @admin.display(description="refund address")
    def refund_to(self, order: ChannelOrder) -> SafeString | str:
        """Whole."""
        return code(order.refund_address)

    @admin.display(description="node", ordering="node_pubkey")
    def node(self, order: ChannelOrder) -> SafeString | str:
        """Its key's beginning."""
        return cut(order.node_pubkey, 8)

    @admin.display(description="node")
    def node_whole(self, order: ChannelOrder) -> SafeString | str:
        """Its key."""
        return node_key(order.node_pubkey)

    @admin.display(description="service")
    def service_sold(self, order: ChannelOrder) -> SafeString:
        """What was sold, as it is offered now."""
        return row_link(order.service, order.service)

    @admin.display(description="channel")
    def channel(self, order: ChannelOrder) -> SafeString | str:
        """The funding outpoint that stands, and the closing transaction."""
        standing = [o.funding_outpoint for o in order.openings.all() if o.state != "failed" and o.funding_outpoint]
        lines = [("funding", outpoint(each)) for each in standing]
        if order.closing_txid:
            lines.append(("closing", txid(order.closing_txid)))
        return format_html_join("", "<div>{} {}</div>", lines) if lines else NOTHING

    @admin.display(description="lease starts")
    def lease_starts(self, order: ChannelOrder) -> str:
        """Time and block."""
        return _lease(order.lease_starts_at, order.lease_starts_height)

    @admin.display(description="lease ends")
    def lease_ends(self, order: ChannelOrder) -> str:
        """Time and block."""
        return _lease(order.lease_ends_at, order.lease_ends_height)

    @admin.display(description="lease extended by")
    def gift(self, order: ChannelOrder) -> str:
        """What was given."""
        return story.term(order.lease_gift_blocks) if order.lease_gift_blocks else NOTHING

    @admin.display(description="forwarding costs at most")
    def promise(self, order: ChannelOrder) -> str:
        """As it was promised."""
        return story.routing_promise(order)

    @admin.display(description="it waits")
    def waits(self, order: ChannelOrder) -> str:
        """In words."""
        return story.waits_for(order, timezone.now())

    @admin.display(description="surprises")
    def flags(self, order: ChannelOrder) -> SafeString | str:
        """Each as a mark that cannot be overlooked."""
        marks = [(mark(name, "alarm"),) for name in story.surprises(order)]
        return format_html_join(" ", "{}", marks) if marks else NOTHING


def _lease(moment: Any, height: int | None) -> str:
    return f"{story.when(moment)}, block {height:,}" if moment and height else NOTHING
