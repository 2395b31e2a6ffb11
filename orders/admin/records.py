"""Payments, journal, and what we last saw of the node: read, never written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from orders import story, trail
from orders.admin.called import AlertsFilter, SilentFilter
from orders.admin.coins import coins_that_do_not, coins_that_fund
from orders.admin.discretion import may_steer
from orders.admin.shown import (
    ReadOnlyAdmin,
    at,
    code,
    cut,
    flag_mark,
    mark,
    moved,
    outpoint,
    pairs,
    sats,
    text,
)
from orders.admin.steering import acting
from orders.admin.switching import SwitchingAdmin
from orders.causes import FlagKind
from orders.models import (
    Alert,
    Flag,
    Heartbeat,
    HoldInvoice,
    IdempotencyKey,
    Node,
    NodeSnapshot,
    OnchainPayment,
    OrderEvent,
    SwitchEvent,
)
from orders.states import OrderState


@admin.register(HoldInvoice)
class InvoiceAdmin(ReadOnlyAdmin):
    """Lightning payments."""

    list_display = ["hash_short", "order_column", "state_column", "amount", "held", "held_when", "hold_expires_height"]
    list_filter = ["state"]
    search_fields = ["payment_hash__startswith", "=payment_request"]
    order_paths = ("order",)
    ordering = ["-add_index", "id"]
    fields = [
        "order_column",
        "state_column",
        "hash_whole",
        "request_whole",
        ("amount", "held"),
        ("held_when", "hold_expires_height"),
        ("settled", "cancelled", "return_cause"),
        "add_index",
    ]
    amount = sats("amount_sat", "amount")
    held = sats("held_sat", "held")
    held_when = at("held_at", "held since")
    settled = at("settled_at", "settled")
    cancelled = at("cancelled_at", "cancelled")

    def get_fields(self, request: HttpRequest, obj: HoldInvoice | None = None) -> list[Any]:
        """Who may not steer does not see the invoice itself: the memo of an old one has the order's id."""
        shown = super().get_fields(request, obj)
        return [field for field in shown if field != "request_whole" or may_steer(request)]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any) -> Any:
        """On record for who sees all of it."""
        row: HoldInvoice | None = context.get("original")
        if row is not None and may_steer(request):
            trail.saw("the whole invoice", [row.order_id], actor=acting(request))
        return super().render_change_form(request, context, *args, **more)

    @admin.display(description="payment hash", ordering="payment_hash")
    def hash_short(self, row: HoldInvoice) -> SafeString | str:
        """Its beginning."""
        return cut(row.payment_hash)

    @admin.display(description="payment hash")
    def hash_whole(self, row: HoldInvoice) -> SafeString | str:
        """Whole."""
        return code(row.payment_hash)

    @admin.display(description="invoice")
    def request_whole(self, row: HoldInvoice) -> SafeString | str:
        """Whole, as the buyer has it."""
        return code(row.payment_request)


@admin.register(OnchainPayment)
class DepositAdmin(ReadOnlyAdmin):
    """On-chain payments."""

    list_display = ["outpoint_short", "order_column", "state_column", "amount", "seen", "confirmations", "block_height"]
    list_filter = ["state"]
    search_fields = ["txid__startswith", "=order__deposit_address"]
    order_paths = ("order",)
    ordering = ["-id"]
    fields = [
        *("order_column", "state_column", "outpoint", "amount", "seen", ("confirmations", "block_height")),
        *("spends", "paid_by"),
    ]
    amount = sats("amount_sat", "amount")
    seen = at("seen_at", "seen")

    @admin.display(description="transaction", ordering="txid")
    def outpoint_short(self, row: OnchainPayment) -> SafeString | str:
        """Its beginning."""
        return cut(row.txid)

    @admin.display(description="outpoint")
    def outpoint(self, row: OnchainPayment) -> SafeString | str:
        """Whole."""
        return outpoint(str(row))

    @admin.display(description="spends")
    def spends(self, row: OnchainPayment) -> SafeString | str:
        """The outpoints that paid it."""
        return pairs([("", str(outpoint)) for outpoint in row.inputs])

    @admin.display(description="paid by")
    def paid_by(self, row: OnchainPayment) -> SafeString | str:
        """The scripts of these coins, where the chain source has told them."""
        return pairs([("", script) for script in row.payers or ()])


class TimeFilter(admin.DateFieldListFilter):
    """Rows by when it was."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "time"


class MovedToFilter(admin.SimpleListFilter):
    """The journal by the state that a move led to, in the words that orders have."""

    title = "state"
    parameter_name = "to_state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Each state."""
        return [(state.value, str(state.label)) for state in OrderState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OrderEvent]) -> QuerySet[OrderEvent]:
        """Those that led there."""
        return queryset.filter(to_state=self.value()) if self.value() else queryset


@admin.register(OrderEvent)
class EventAdmin(ReadOnlyAdmin):
    """The journal of all orders, the newest first."""

    list_display = ["happened", "order_column", "cause_shown", "move_shown", "actor"]
    list_filter = [("at", TimeFilter), MovedToFilter]
    search_fields = ["=cause"]
    order_paths = ("order",)
    ordering = ["-id"]
    fields = ["order_column", "version", "happened", "actor", "cause_shown", "move_shown", "facts_shown"]
    happened = at("at", "at")

    @admin.display(description="what", ordering="cause")
    def cause_shown(self, row: OrderEvent) -> str:
        """The cause, as words."""
        return row.cause.replace("_", " ")

    @admin.display(description="state")
    def move_shown(self, row: OrderEvent) -> SafeString | str:
        """From where to where, if it moved."""
        return moved(row)

    @admin.display(description="facts")
    def facts_shown(self, row: OrderEvent) -> SafeString | str:
        """One a line."""
        return pairs(story.facts(row.facts))


class StandingFilter(admin.SimpleListFilter):
    """Flags that stand, and those that are down."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Either."""
        return [("yes", "stands"), ("no", "down")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Flag]) -> QuerySet[Flag]:
        """Those."""
        return queryset.filter(lowered_at__isnull=self.value() == "yes") if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    """Flags by their kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Each kind."""
        return [(kind.value, str(kind.label)) for kind in FlagKind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Flag]) -> QuerySet[Flag]:
        """Those of it."""
        if self.value() == FlagKind.OTHER:  # and what is no kind any more
            return queryset.exclude(kind__in=[kind for kind in FlagKind if kind is not FlagKind.OTHER])
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Flag)
class FlagAdmin(ReadOnlyAdmin):
    """Why orders needed a person, the newest first. Seen to on the order's page."""

    list_display = ["kind_shown", "order_column", "said", "raised", "raised_by", "lowered", "lowered_by"]
    list_filter = [StandingFilter, KindFilter, "raised_at"]
    search_fields = ["=lowered_by"]
    order_paths = ("order",)
    ordering = ["-id"]
    fields = ["order_column", "kind_shown", "said", ("raised", "raised_by"), ("lowered", "lowered_by")]
    said = text("words", "words")
    raised = at("raised_at", "raised")
    lowered = at("lowered_at", "down since")

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """By its words too, for who may steer: old words have an order's id."""
        fields = list(super().get_search_fields(request))
        return [*fields, "words__contains"] if may_steer(request) else fields

    @admin.display(description="kind", ordering="kind")
    def kind_shown(self, row: Flag) -> SafeString:
        """In the colour of what stands, or is over."""
        return flag_mark(row)


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """The node that we sell from."""

    list_display = ["pubkey", "seen", "deposits", "deposits_height"]
    fields = ["pubkey", "seen", ("deposits", "deposits_height", "reread")]
    seen = at("first_seen_at", "first seen")
    deposits = at("deposits_at", "deposits read")
    reread = at("deposits_reread_at", "read again from far back")


@admin.register(NodeSnapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    """What we last saw of the node."""

    list_display = ["alias", "network", "seen", "block_height", "synced_to_chain", "spendable", "active_channels"]
    fields = [
        ("alias", "network", "version"),
        "key",
        "addresses",
        ("seen", "block_height", "synced_to_chain", "synced"),
        ("spendable", "reserve"),
        "coins",
        "aside",
        ("active_channels", "our_side", "other_side"),
        ("estimate_sat_per_kw", "minimum_sat_per_kw"),
    ]
    seen = at("at", "seen")
    synced = at("synced_at", "last synced")
    spendable = sats("spendable_sat", "spendable")
    reserve = sats("required_reserve_sat", "reserve of the node")
    coins = coins_that_fund
    aside = coins_that_do_not
    our_side = sats("local_balance_sat", "our side")
    other_side = sats("remote_balance_sat", "other side")

    @admin.display(description="key")
    def key(self, row: NodeSnapshot) -> SafeString | str:
        """Whole."""
        return code(row.node.pubkey)

    @admin.display(description="addresses")
    def addresses(self, row: NodeSnapshot) -> SafeString | str:
        """One a line."""
        return pairs([("", str(uri)) for uri in row.uris])


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Signs of life."""

    list_display = ["name", "last", "said"]
    list_filter = [SilentFilter]
    fields = ["name", "node", "last", "said"]
    last = at("at", "last")
    said = text("detail", "detail")


@admin.register(SwitchEvent)
class SwitchEventAdmin(SwitchingAdmin, ReadOnlyAdmin):
    """Who paused what, when and why. Switching is done from the first page, or by `manage.py pause` and `resume`."""

    list_display = ["switched", "name", "how", "cause", "why", "actor"]
    list_filter = ["name", "on", "cause"]
    ordering = ["-id"]
    fields = ["switched", "name", "how", "cause", "why", "named_shown", "actor"]
    switched = at("at", "at")
    why = text("reason", "reason")

    @admin.display(description="switched", ordering="on")
    def how(self, row: SwitchEvent) -> SafeString:
        """Paused, or going on again."""
        return mark("resumed", "good") if row.on else mark("paused", "bad")

    @admin.display(description="the node has")
    def named_shown(self, row: SwitchEvent) -> SafeString | str:
        """And our records had not, one a line."""
        return pairs([("", str(name)) for name in row.named])


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """What failed, whether somebody was told, and when it was right again."""

    list_display = ["begun", "told", "sent", "told_on", "cleared"]
    list_filter = [AlertsFilter]
    ordering = ["-id"]
    fields = ["about", "told", "begun", ("sent", "told_on"), "cleared"]
    about = text("key", "key")
    told = text("message", "message")
    begun = at("since", "since")
    sent = at("sent_at", "told")
    cleared = at("cleared_at", "right again")


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    """Keys that buyers sent, hashed."""

    list_display = ["__str__", "order_shown", "created"]
    fields = ["key_hash", "body_hash", "created", "order_shown"]
    ordering = ["-created_at"]
    created = at("created_at", "sent")

    @admin.display(description="order")
    def order_shown(self, row: IdempotencyKey) -> SafeString | str:
        """Empty while the request is in flight."""
        return self.order_column(row) if row.order_id else "in flight"
