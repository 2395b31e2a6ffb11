"""An order for machines: our own words, integers of satoshis, times in ISO 8601, null for what is not known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from orders import keys, story
from orders.models import ChannelOpening, ChannelOrder, OrderEvent
from orders.states import OpeningState


def facts(order: ChannelOrder) -> dict[str, Any]:
    """An order as it stands; loaded with its service, its flags and its attempts."""
    return {
        "id": str(order.pk),
        "reference": keys.reference(order.pk),
        "state": order.state,
        "created_at": _iso(order.created_at),
        "expires_at": _iso(order.expires_at),
        "door": order.door,
        "token": order.token or None,
        "service": {"id": str(order.service_id), "description": str(order.service)},
        **_money(order),
        **_channel(order),
        "failed_openings": order.failed_openings,
        "last_failure_reason": order.last_failure_reason or None,
        "give_up_reason": order.give_up_reason or None,
        "flags": [flag.kind for flag in order.standing],
        **{name: getattr(order, name) for name in ("on_credit", "paid_late", "underpaid", "overpaid")},
    }


def _money(order: ChannelOrder) -> dict[str, Any]:
    return {
        "lsp_balance_sat": order.lsp_balance_sat,
        "client_balance_sat": order.client_balance_sat,
        "fee_total_sat": order.fee_total_sat,
        "order_total_sat": order.order_total_sat,
        "rail": order.counted_payment or None,
        "paid_at": _iso(order.paid_at),
        "deposit_address": order.deposit_address,
        "refund_address": order.refund_address or None,
    }


def _channel(order: ChannelOrder) -> dict[str, Any]:
    there = next((opening for opening in order.openings.all() if opening.state != OpeningState.FAILED), None)
    return {
        "channel_expiry_blocks": order.channel_expiry_blocks,
        "required_channel_confirmations": order.required_channel_confirmations,
        "funding_confirms_within_blocks": order.funding_confirms_within_blocks,
        "node": order.node_pubkey or None,
        "node_host": order.node_host or None,
        "claimed_at": _iso(order.claimed_at),
        "funding_outpoint": (there.funding_outpoint if there else "") or None,
        "short_channel_id": (there.short_channel_id if there else "") or None,
        "opened_at": _iso(order.opened_at),
        "lease_ends_at": _iso(order.lease_ends_at),
        "lease_ends_height": order.lease_ends_height,
        "closed_at": _iso(order.closed_at),
        "closing_txid": order.closing_txid or None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def whole(order: ChannelOrder) -> dict[str, Any]:
    """The same, and its story: what it waits for, its attempts, and its journal."""
    return {
        **facts(order),
        "waits": story.waits_for(order, timezone.now()),
        "attempts": [_attempt(opening) for opening in order.openings.all()],
        "journal": [_event(event) for event in OrderEvent.objects.filter(order=order).order_by("version")],
    }


def _attempt(opening: ChannelOpening) -> dict[str, Any]:
    return {
        "attempt": opening.attempt,
        "state": opening.state,
        "created_at": _iso(opening.created_at),
        "changed_at": _iso(opening.changed_at),
        "node": opening.node_pubkey,
        "capacity_sat": opening.capacity_sat,
        "push_sat": opening.push_sat,
        "funding_outpoint": opening.funding_outpoint or None,
        "failure_reason": opening.failure_reason or None,
        "failure_detail": opening.failure_detail or None,
        "closing_txid": opening.closing_txid or None,
    }


def _event(event: OrderEvent) -> dict[str, Any]:
    return {
        "version": event.version,
        "at": _iso(event.at),
        "actor": event.actor,
        "cause": event.cause,
        "from_state": event.from_state or None,
        "to_state": event.to_state,
        "facts": event.facts,
    }
