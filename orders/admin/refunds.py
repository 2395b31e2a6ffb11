"""Money of buyers that goes back on chain: read, never written."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from orders import keys
from orders.admin.called import AddressFilter
from orders.admin.shown import NOTHING, ReadOnlyAdmin, at, code, cut, exactly, once_signed, row_link, sats, text, txid
from orders.models import Refund


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Refunds of all orders, the newest first."""

    list_display = [
        "id",
        "order_column",
        "reference_short",
        "state_column",
        "amount",
        "fee",
        "address_short",
        "txid_short",
        "why",
        "age",
    ]
    list_filter = ["state", AddressFilter, "created_at"]
    list_select_related = ["transaction"]
    search_fields = ["=address", "=order__refund_address", "transaction__txid__startswith"]
    search_help_text = "An address; a transaction; an order's id or reference."
    order_paths = ("order",)
    ordering = ["-id"]
    fields = [
        "order_column",
        "reference",
        "state_column",
        ("amount", "fee", "sent"),
        "address_whole",
        "txid_whole",
        ("why", "detail_shown"),
        ("created", "age", "refunded"),
    ]
    amount = sats("amount_sat", "amount")
    fee = once_signed("fee_sat", "fee")
    sent = once_signed("sent_sat", "the buyer gets")
    created = exactly("created_at", "due since")
    refunded = at("refunded_at", "in a block since")
    detail_shown = text("detail", "detail")

    @admin.display(description="reference", ordering="order")
    def reference_short(self, row: Refund) -> SafeString | str:
        """The beginning of its order's reference."""
        return cut(keys.reference(row.order_id), 8)

    @admin.display(description="reference")
    def reference(self, row: Refund) -> SafeString | str:
        """Its order's, as the memo of the invoice has it."""
        return code(keys.reference(row.order_id))

    @admin.display(description="address", ordering="address")
    def address_short(self, row: Refund) -> SafeString | str:
        """The beginning of where it went."""
        return cut(row.address)

    @admin.display(description="address")
    def address_whole(self, row: Refund) -> SafeString | str:
        """Where it went; nothing until it is signed."""
        return code(row.address)

    @admin.display(description="transaction", ordering="transaction__txid")
    def txid_short(self, row: Refund) -> SafeString | str:
        """Its beginning."""
        return cut(row.transaction.txid if row.transaction else "")

    @admin.display(description="transaction")
    def txid_whole(self, row: Refund) -> SafeString | str:
        """The version that was signed last, or was mined."""
        sent = row.transaction
        return format_html("{} {}", txid(sent.txid), row_link(sent, "record")) if sent else NOTHING

    @admin.display(description="why", ordering="cause")
    def why(self, row: Refund) -> str:
        """How the order ended, or that it was too much."""
        return row.cause.replace("_", " ")

    @admin.display(description="age", ordering="-created_at")
    def age(self, row: Refund) -> str:
        """How long ago it was due first."""
        return timesince(row.created_at, depth=1)
