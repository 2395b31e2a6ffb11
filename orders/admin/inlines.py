"""What belongs to an order, on its page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders import story
from orders.admin import explorers
from orders.admin.shown import (
    NOTHING,
    Forbidden,
    at,
    code,
    cut,
    flag_mark,
    mark,
    moved,
    once_signed,
    outpoint,
    pairs,
    row_link,
    sats,
    state_mark,
    text,
    txid,
)
from orders.ids import shortened
from orders.models import ChannelClosing, ChannelOpening, Flag, HoldInvoice, OnchainPayment, OrderEvent, Refund
from orders.openings import reasons


class Belonging(Forbidden, admin.TabularInline):
    """Rows to be read."""

    extra = 0
    can_delete = False
    show_change_link = False
    template = "admin/orders/channelorder/belonging.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """All of them."""
        return list(self.fields or ())

    @admin.display(description="state")
    def state_shown(self, row: Any) -> SafeString:
        """In its colour, and the way to the record."""
        return row_link(row, state_mark(row))


class EventInline(Belonging):
    """The journal."""

    model = OrderEvent
    verbose_name_plural = "journal"
    fields = ["version", "at_shown", "actor", "cause_shown", "move_shown", "facts_shown"]
    ordering = ["version"]

    @admin.display(description="at")
    def at_shown(self, row: OrderEvent) -> str:
        """To the second."""
        return story.when(row.at)

    @admin.display(description="what")
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


class FlagInline(Belonging):
    """Why it needs a person, or needed one, and who has seen to that."""

    model = Flag
    verbose_name_plural = "flags"
    fields = ["kind_shown", "said", "raised", "raised_by", "lowered", "lowered_by"]

    said = text("words", "words")
    raised = at("raised_at", "raised")
    lowered = at("lowered_at", "down since")

    @admin.display(description="kind")
    def kind_shown(self, row: Flag) -> SafeString:
        """In the colour of what stands, or is over."""
        return flag_mark(row)


class InvoiceInline(Belonging):
    """The Lightning payment."""

    model = HoldInvoice
    verbose_name_plural = "Lightning invoice"
    fields = ["state_shown", "amount", "held", "hash_shown", "held_when", "hold_expires_height", "ended"]

    amount = sats("amount_sat", "Amount")
    held = sats("held_sat", "Held")
    held_when = at("held_at", "held since")

    @admin.display(description="payment hash")
    def hash_shown(self, row: HoldInvoice) -> SafeString | str:
        """Whole: the buyer names it too."""
        return code(row.payment_hash)

    @admin.display(description="ended")
    def ended(self, row: HoldInvoice) -> str:
        """Settled or cancelled, when and why."""
        if row.settled_at:
            return f"settled {story.when(row.settled_at)}"
        why = f" ({row.return_cause.replace('_', ' ')})" if row.return_cause else ""
        if row.cancelled_at:
            return f"cancelled {story.when(row.cancelled_at)}{why}"
        return f"to be returned{why}" if row.return_cause else NOTHING


class DepositInline(Belonging):
    """The on-chain payments."""

    model = OnchainPayment
    verbose_name_plural = "on-chain deposits"
    fields = ["state_shown", "amount", "outpoint", "seen", "confirmations", "block_height"]

    amount = sats("amount_sat", "Amount")
    seen = at("seen_at", "seen")

    @admin.display(description="outpoint")
    def outpoint(self, row: OnchainPayment) -> SafeString | str:
        """Whole."""
        return outpoint(str(row))


class RefundInline(Belonging):
    """What goes back on chain, or went."""

    model = Refund
    verbose_name_plural = "refunds on chain"
    fields = ["state_shown", "amount", "fee", "address_shown", "txid_shown", "why", "since", "refunded"]

    amount = sats("amount_sat", "Amount")
    fee = once_signed("fee_sat", "Fee")
    since = at("created_at", "due since")
    refunded = at("refunded_at", "in a block since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refund]:
        """With the transactions, in one statement."""
        return super().get_queryset(request).select_related("transaction")

    @admin.display(description="address")
    def address_shown(self, row: Refund) -> SafeString | str:
        """Whole."""
        return code(row.address)

    @admin.display(description="transaction")
    def txid_shown(self, row: Refund) -> SafeString | str:
        """Whole, and our record of it."""
        sent = row.transaction
        return format_html("{} {}", txid(sent.txid), row_link(sent, "record")) if sent else NOTHING

    @admin.display(description="why")
    def why(self, row: Refund) -> SafeString:
        """The cause, and what was said."""
        return format_html("{}<div>{}</div>", row.cause.replace("_", " "), shortened(row.detail))


class ClosingInline(Belonging):
    """The closes that somebody wanted of its channel."""

    model = ChannelClosing
    verbose_name_plural = "closes of the channel"
    fields = ["state_shown", "kind", "early", "actor", "said", "wanted", "tries", "waits", "txid_shown", "ended"]

    said = text("reason", "reason")
    wanted = at("created_at", "wanted")
    ended = at("ended_at", "over")

    @admin.display(description="state")
    def state_shown(self, row: Any) -> SafeString:
        """In its colour; a close has no page of its own."""
        return state_mark(row)

    @admin.display(description="before the lease's end", boolean=True)
    def early(self, row: ChannelClosing) -> bool:
        """A person has overridden the lease."""
        return row.overrides_lease

    @admin.display(description="waits because")
    def waits(self, row: ChannelClosing) -> SafeString | str:
        """A word, and what was said."""
        if not (row.trouble or row.detail):
            return NOTHING
        return format_html("{}<div>{}</div>", row.trouble, shortened(row.detail))

    @admin.display(description="closing transaction")
    def txid_shown(self, row: ChannelClosing) -> SafeString | str:
        """Whole."""
        return code(row.txid)


class OpeningInline(Belonging):
    """The attempts to open the channel, each with its transaction."""

    model = ChannelOpening
    verbose_name_plural = "attempts to open the channel"
    fields = ["attempt", "state_shown", "node", "size", "push", "funding", "transaction_shown", "channel", "failure"]

    size = sats("capacity_sat", "Size")
    push = sats("push_sat", "Pushed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelOpening]:
        """With the transactions, in one statement."""
        return super().get_queryset(request).select_related("transaction", "conflict")

    @admin.display(description="node")
    def node(self, row: ChannelOpening) -> SafeString | str:
        """Its key's beginning."""
        return format_html("{}{}", cut(row.node_pubkey), explorers.node(row.node_pubkey))

    @admin.display(description="funding outpoint")
    def funding(self, row: ChannelOpening) -> SafeString | str:
        """Whole."""
        return outpoint(row.funding_outpoint)

    @admin.display(description="transaction")
    def transaction_shown(self, row: ChannelOpening) -> SafeString | str:
        """Its fee, when it was published, where it was mined, and what puts it out."""
        sent = row.transaction
        if sent is None:
            return NOTHING
        lines = [
            ("fee", story.sat(sent.fee_sat)),
            ("published", story.when(sent.published_at)),
            ("block", f"{sent.block_height:,}" if sent.block_height else NOTHING),
        ]
        told = format_html("{}{}", pairs(lines), row_link(sent, "record"))
        if row.conflict is None:
            return told
        return format_html(
            "{}<div>put out by {} {}</div>", told, txid(row.conflict.txid), row_link(row.conflict, "record")
        )

    @admin.display(description="channel")
    def channel(self, row: ChannelOpening) -> SafeString | str:
        """Its short id, whether it is public, and how it closed."""
        names = (("id", row.short_channel_id), ("alias", row.alias))
        lines = [(name, value) for name, value in names if value]
        lines.append(("is", ("public" if row.announced else "private") + (", zero-conf" if row.zero_conf else "")))
        if not row.closing_txid:
            return pairs(lines)
        closed = row.close_type.replace("_", " ") or "nobody knows how"
        return format_html("{}<div>closed ({}) {}</div>", pairs(lines), closed, txid(row.closing_txid))

    @admin.display(description="failure")
    def failure(self, row: ChannelOpening) -> SafeString | str:
        """The reason, what it means, and what peer or node have said."""
        if not row.failure_reason:
            return NOTHING
        return format_html(
            '{}<div>{}</div><div class="lsp-said">{}</div>',
            mark(row.failure_reason, "bad"),
            reasons.MEANS.get(row.failure_reason, ""),
            shortened(row.failure_detail),
        )
