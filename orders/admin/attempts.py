"""The attempts to open channels, what peers said to none that was meant, and our own transactions: only read."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orders import story
from orders.admin.called import FailedFilter
from orders.admin.shown import (
    NOTHING,
    ReadOnlyAdmin,
    at,
    cut,
    mark,
    node_key,
    order_link,
    outpoint,
    pairs,
    row_link,
    sats,
    text,
    txid,
)
from orders.models import ChannelOpening, DryRun, WalletTransaction


@admin.register(ChannelOpening)
class OpeningAdmin(ReadOnlyAdmin):
    """Attempts to open a channel."""

    list_display = ["attempt_of", "order_column", "state_column", "node", "size", "funding_short", "changed", "failure"]
    list_filter = ["state", FailedFilter, "created_at"]
    list_select_related = ["transaction"]
    search_fields = ["node_pubkey__startswith", "transaction__txid__startswith", "=short_channel_id", "=alias"]
    order_paths = ("order",)
    ordering = ["-id"]
    fields = [
        "order_column",
        ("attempt", "state_column"),
        ("created", "changed"),
        "node_whole",
        ("announced", "zero_conf"),
        ("size", "push"),
        "funding",
        "put_out",
        ("failure", "detail"),
        ("short_channel_id", "alias"),
        ("closing", "close_height", "close_type"),
    ]
    size = sats("capacity_sat", "size")
    push = sats("push_sat", "pushed")
    created = at("created_at", "begun")
    changed = at("changed_at", "since")
    detail = text("failure_detail", "failure detail")

    @admin.display(description="attempt", ordering="attempt")
    def attempt_of(self, row: ChannelOpening) -> str:
        """Its number."""
        return f"#{row.attempt}"

    @admin.display(description="node", ordering="node_pubkey")
    def node(self, row: ChannelOpening) -> SafeString | str:
        """Its key's beginning."""
        return cut(row.node_pubkey)

    @admin.display(description="node")
    def node_whole(self, row: ChannelOpening) -> SafeString | str:
        """Key and host."""
        return node_key(f"{row.node_pubkey}@{row.node_host}" if row.node_host else row.node_pubkey)

    @admin.display(description="funding")
    def funding_short(self, row: ChannelOpening) -> SafeString | str:
        """The transaction's beginning."""
        return cut(row.funding_outpoint)

    @admin.display(description="funding outpoint")
    def funding(self, row: ChannelOpening) -> SafeString | str:
        """Whole, and our record of the transaction."""
        if row.transaction is None:
            return NOTHING
        return format_html("{} {}", outpoint(row.funding_outpoint), row_link(row.transaction, "record"))

    @admin.display(description="put out by")
    def put_out(self, row: ChannelOpening) -> SafeString | str:
        """What spends one of its coins."""
        sent = row.conflict
        return format_html("{} {}", txid(sent.txid), row_link(sent, "record")) if sent else NOTHING

    @admin.display(description="closing transaction")
    def closing(self, row: ChannelOpening) -> SafeString | str:
        """Whole."""
        return txid(row.closing_txid)

    @admin.display(description="failure", ordering="failure_reason")
    def failure(self, row: ChannelOpening) -> SafeString | str:
        """The reason."""
        return mark(row.failure_reason, "bad") if row.failure_reason else NOTHING


@admin.register(DryRun)
class DryRunAdmin(ReadOnlyAdmin):
    """What a peer has answered to a channel of this size, as a buyer's node was looked at before he paid."""

    list_display = ["node", "answer", "size", "push", "channel", "begun", "said"]
    list_filter = ["accepted", "begun_at"]
    search_fields = ["node_pubkey__startswith", "=reason"]
    ordering = ["-begun_at", "-id"]
    fields = ["node_whole", ("size", "push"), "channel", ("begun", "ended"), "answer", "said", "words"]
    size = sats("capacity_sat", "size")
    push = sats("push_sat", "pushed")
    begun = at("begun_at", "asked")
    ended = at("ended_at", "over")
    said = text("reason", "reason")
    words = text("detail", "its words")

    @admin.display(description="node", ordering="node_pubkey")
    def node(self, row: DryRun) -> SafeString | str:
        """Its key's beginning."""
        return cut(row.node_pubkey)

    @admin.display(description="node")
    def node_whole(self, row: DryRun) -> SafeString | str:
        """Its key."""
        return node_key(row.node_pubkey)

    @admin.display(description="channel", ordering="announced")
    def channel(self, row: DryRun) -> str:
        """Public or not."""
        return "announced" if row.announced else "unannounced"

    @admin.display(description="it would", ordering="accepted")
    def answer(self, row: DryRun) -> SafeString:
        """Take the channel, or not; of one that is under way, or that the peer has not answered, nobody knows."""
        if row.accepted is not None:
            return mark("take it", "good") if row.accepted else mark("refuse it", "bad")
        return mark("not said", "over") if row.ended_at else mark("asked", "busy")


@admin.register(WalletTransaction)
class TransactionAdmin(ReadOnlyAdmin):
    """Our transactions. Not their bytes: what is signed is published by the server and by nobody else."""

    list_display = ["txid_short", "kind", "label_shown", "fee", "created", "published", "block_height"]
    list_filter = ["kind", "created_at"]
    search_fields = ["txid__startswith"]
    order_paths = ("openings__order", "puts_out__order", "refunds__order")
    ordering = ["-id"]
    fields = [
        "kind",
        "orders_of",
        "label_shown",
        "txid_whole",
        "coins",
        "fee",
        ("created", "published", "bumped"),
        ("block_height", "change_index"),
    ]
    fee = sats("fee_sat", "fee")
    created = at("created_at", "made")
    published = at("published_at", "published")
    bumped = at("bumped_at", "bumped")
    label_shown = text("label", "label")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WalletTransaction]:
        """Without the bytes."""
        return super().get_queryset(request).defer("psbt", "raw")

    @admin.display(description="transaction", ordering="txid")
    def txid_short(self, row: WalletTransaction) -> SafeString | str:
        """Its beginning."""
        return cut(row.txid)

    @admin.display(description="transaction")
    def txid_whole(self, row: WalletTransaction) -> SafeString | str:
        """Whole."""
        return txid(row.txid)

    @admin.display(description="for")
    def orders_of(self, row: WalletTransaction) -> SafeString | str:
        """The orders whose channels it opens or puts out, or whose money it sends back."""
        ids = {each.order_id for each in (*row.openings.all(), *row.puts_out.all())}
        ids |= {each.order_id for each in row.refunds.all()}
        return format_html_join(", ", "{}", ((order_link(each),) for each in sorted(ids))) if ids else NOTHING

    @admin.display(description="spends")
    def coins(self, row: WalletTransaction) -> SafeString | str:
        """Each coin with its amount."""
        return pairs([(str(coin[0]), story.sat(int(coin[1]))) for coin in row.inputs])
