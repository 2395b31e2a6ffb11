"""Channels that open just in time: what was bought, and the parts of payments. Read, never written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from orders.admin.shown import NOTHING, ReadOnlyAdmin, at, code, cut, mark, node_key, order_link, text
from orders.models import JitPart, JitPurchase, PartDecision
from orders.states import InvoiceState

_TONES = {PartDecision.RESUME: "good", PartDecision.FAIL: "bad", PartDecision.REFUSE: "bad"}


def _msat(value: int | None) -> str:
    return NOTHING if value is None else f"{value / 1000:,.3f}".rstrip("0").rstrip(".")


@admin.register(JitPurchase)
class JitPurchaseAdmin(ReadOnlyAdmin):
    """What wallets have bought that become channels when a payment names them."""

    list_display = ["scid", "node", "size", "fee", "made", "until", "opened", "mode"]
    list_filter = ["client_trusts_lsp", "created_at"]
    search_fields = ["=scid", "node_pubkey__startswith"]
    ordering = ["-id"]
    fields = [
        *("scid", "node_whole", "service", ("size", "smallest", "largest"), "fee", ("made", "until", "opened")),
        *("mode", "min_lifetime_blocks", "max_client_to_self_delay", "cltv_expiry_delta"),
    ]
    made = at("created_at", "bought")
    until = at("valid_until", "holds until")
    opened = at("opened_at", "channel since")

    @admin.display(description="node", ordering="node_pubkey")
    def node(self, row: JitPurchase) -> SafeString | str:
        """Its key's beginning."""
        return cut(row.node_pubkey)

    @admin.display(description="node")
    def node_whole(self, row: JitPurchase) -> SafeString | str:
        """Its key."""
        return node_key(row.node_pubkey)

    @admin.display(description="payment (sat)", ordering="payment_size_msat")
    def size(self, row: JitPurchase) -> str:
        """In parts, of so much; nothing where its first part says it."""
        return _msat(row.payment_size_msat)

    @admin.display(description="at least (sat)")
    def smallest(self, row: JitPurchase) -> str:
        """The smallest payment."""
        return _msat(row.min_payment_size_msat)

    @admin.display(description="at most (sat)")
    def largest(self, row: JitPurchase) -> str:
        """The largest."""
        return _msat(row.max_payment_size_msat)

    @admin.display(description="fee")
    def fee(self, row: JitPurchase) -> str:
        """As promised."""
        return f"{_msat(row.min_fee_msat)} sat, or {row.proportional_ppm:,} ppm"

    @admin.display(description="who trusts", ordering="client_trusts_lsp")
    def mode(self, row: JitPurchase) -> str:
        """Which of the two goes first."""
        return "the wallet trusts us" if row.client_trusts_lsp else "we trust the wallet"


def _went_back(row: Any) -> bool:
    """It went on with the others, and nobody took them: what we wanted of it as our fee went back as well."""
    return bool(row.decision == PartDecision.RESUME and row.payment == InvoiceState.CANCELLED)


@admin.register(JitPart)
class JitPartAdmin(ReadOnlyAdmin):
    """Parts of payments that have named what was bought, and what became of each."""

    list_display = ["circuit_shown", "order_column", "scid", "came", "fee", "decided", "heard", "why"]
    list_filter = ["decision", "heard_at"]
    search_fields = ["payment_hash__startswith", "=purchase__scid", "=chan_id"]
    order_paths = ("order",)
    ordering = ["-id"]
    fields = [
        *("circuit_shown", "order_column", "scid", "hash_whole", ("came", "fee"), "decided", ("heard", "when"), "why"),
        *(("incoming_expiry", "outgoing_expiry"), "auto_fail_height"),
    ]
    heard = at("heard_at", "came")
    when = at("decided_at", "decided when")
    why = text("reason", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[JitPart]:
        """With what it named, and where its order's payment is."""
        rows: QuerySet[JitPart] = super().get_queryset(request).select_related("purchase")
        return rows.annotate(payment=F("order__hold_invoice__state"))

    @admin.display(description="order", ordering="order")
    def order_column(self, row: Any) -> SafeString:
        """What it pays for, where there were enough of them."""
        return order_link(row.order_id) if row.order_id else SafeString(NOTHING)

    @admin.display(description="circuit")
    def circuit_shown(self, row: JitPart) -> str:
        """The channel that it came by, and its number there."""
        return str(row)

    @admin.display(description="named", ordering="purchase")
    def scid(self, row: JitPart) -> str:
        """The number that its payer's way had."""
        return row.purchase.scid

    @admin.display(description="payment hash")
    def hash_whole(self, row: JitPart) -> SafeString | str:
        """Whole."""
        return code(row.payment_hash)

    @admin.display(description="came in (sat)", ordering="incoming_msat")
    def came(self, row: JitPart) -> str:
        """What came."""
        return _msat(row.incoming_msat)

    @admin.display(description="our fee of it (sat)", ordering="fee_msat")
    def fee(self, row: JitPart) -> str:
        """What we took of it: nothing where the payment went back."""
        return _msat(0 if _went_back(row) else row.fee_msat)

    @admin.display(description="what became of it", ordering="decision")
    def decided(self, row: JitPart) -> SafeString:
        """As our node is told; or that it came back, since the wallet did not take the payment."""
        if not row.decision:
            return mark("waits", "busy")
        if _went_back(row):
            return mark("passed on, went back", "bad")
        return mark(row.get_decision_display(), _TONES[PartDecision(row.decision)])
