"""Where wallets are told that they are wanted, and what they were told. Read, never written; no URL is shown."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from orders.admin.shown import ReadOnlyAdmin, at, cut, mark, node_key, text
from orders.models import WakeUp, WakeUpOutcome, Webhook

_TONES = {WakeUpOutcome.DELIVERED: "good", WakeUpOutcome.THERE: "good", WakeUpOutcome.GIVEN_UP: "bad"}


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """What wallets have registered."""

    list_display = ["app_name", "node", "host_shown", "made", "needed"]
    list_filter = ["set_at"]
    search_fields = ["node_pubkey__startswith"]
    ordering = ["-id"]
    fields = ["app_name", "node_whole", "host_shown", "made", "needed"]
    made = at("set_at", "registered")
    needed = at("needed_at", "last needed")

    @admin.display(description="node", ordering="node_pubkey")
    def node(self, row: Webhook) -> SafeString | str:
        """Its key's beginning."""
        return cut(row.node_pubkey)

    @admin.display(description="node")
    def node_whole(self, row: Webhook) -> SafeString | str:
        """Its key."""
        return node_key(row.node_pubkey)

    @admin.display(description="host")
    def host_shown(self, row: Webhook) -> str:
        """What of its URL is no secret."""
        return row.host


@admin.register(WakeUp)
class WakeUpAdmin(ReadOnlyAdmin):
    """What wallets were told, or will be."""

    list_display = ["method", "name", "node", "made", "became", "failures", "why"]
    list_filter = ["method", "outcome", "created_at"]
    search_fields = ["webhook__node_pubkey__startswith"]
    ordering = ["-id"]
    fields = ["method", "name", "node", "timeout_height", ("made", "ended", "again"), "became", "failures", "why"]
    made = at("created_at", "written")
    ended = at("ended_at", "ended")
    again = at("next_at", "due")
    why = text("last_failure", "last failure")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WakeUp]:
        """With whom it tells."""
        rows: QuerySet[WakeUp] = super().get_queryset(request).select_related("webhook")
        return rows

    @admin.display(description="webhook", ordering="webhook")
    def name(self, row: WakeUp) -> str:
        """As its wallet calls it."""
        return row.webhook.app_name

    @admin.display(description="node")
    def node(self, row: WakeUp) -> SafeString | str:
        """Its key's beginning."""
        return cut(row.webhook.node_pubkey)

    @admin.display(description="what became of it", ordering="outcome")
    def became(self, row: WakeUp) -> SafeString:
        """Sent, or not."""
        if not row.outcome:
            return mark("waits", "busy")
        return mark(row.get_outcome_display(), _TONES.get(WakeUpOutcome(row.outcome), "over"))
