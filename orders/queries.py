"""Reads, for everybody. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum

from lightning.types import Outpoint
from orders.errors import OrderNotFound
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    HoldInvoice,
    NodeSnapshot,
    OnchainPayment,
    Service,
    Switch,
    SwitchName,
)
from orders.states import (
    COMMITTED_OPENINGS,
    LIVE_OPENINGS,
    PEER_OCCUPYING,
    PROMISING,
    DepositState,
    InvoiceState,
    OrderState,
)


def snapshot() -> NodeSnapshot | None:
    """What we last saw of the node, if we ever saw it."""
    return NodeSnapshot.objects.first()


def paused(name: SwitchName) -> Switch | None:
    """The switch, where staff have put it off; None: this goes on."""
    return Switch.objects.filter(pk=name, on=False).first()


def services_on_sale() -> QuerySet[Service]:
    """What is on offer, the default first."""
    return Service.objects.filter(on_sale=True)


def default_service() -> Service | None:
    """What is sold to those who name no service."""
    return services_on_sale().first()


def order_or_raise(order_id: UUID) -> ChannelOrder:
    """The order with all that belongs to it. Raises: OrderNotFound."""
    order = orders_with_details().filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    return order


def orders_with_details() -> QuerySet[ChannelOrder]:
    """Orders with invoice, deposits and openings, in a fixed number of statements."""
    orders = ChannelOrder.objects.select_related("hold_invoice", "service")
    return orders.prefetch_related("onchain_payments", "openings__transaction")


def promised_sat(seen_at: datetime) -> int:
    """What open orders were promised and our coins, as counted at `seen_at`, do not show as gone yet.

    An order's coins are gone from the wallet's spendable ones as soon as they are leased for its funding.
    """
    leased_by_then = ChannelOpening.objects.filter(
        order=OuterRef("pk"), state__in=LIVE_OPENINGS, transaction__created_at__lt=seen_at
    )
    leased_later = ChannelOpening.objects.filter(
        order=OuterRef("pk"), state__in=COMMITTED_OPENINGS, transaction__created_at__gte=seen_at
    )
    waiting = Q(state__in=PROMISING) & ~Exists(leased_by_then)
    return _promised(ChannelOrder.objects.filter(waiting | Q(Exists(leased_later), state=OrderState.OPENING)))


def unpaid_promised_sat() -> int:
    """What orders hold that nobody has paid for."""
    return _promised(ChannelOrder.objects.filter(state=OrderState.CREATED))


def _promised(orders: QuerySet[ChannelOrder]) -> int:
    size = F("lsp_balance_sat") + F("client_balance_sat") + F("open_fee_sat")
    return orders.aggregate(total=Sum(size))["total"] or 0


def available_sat(seen: NodeSnapshot) -> int:
    """What can be promised to a new order now, its fee included; never below 0."""
    kept = seen.required_reserve_sat + settings.ONCHAIN_RESERVE_SAT
    return max(0, seen.spendable_sat - kept - promised_sat(seen.at))


def unpaid_share_sat(available: int) -> int:
    """What a new unpaid order may take: unpaid ones together hold at most their share of the stock."""
    unpaid = unpaid_promised_sat()
    allowed = (available + unpaid) * settings.UNPAID_SHARE_PERCENT // 100
    return max(0, allowed - unpaid)


def due_ids(now: datetime) -> list[UUID]:
    """The orders to look at now, the longest waiting first."""
    return list(ChannelOrder.objects.filter(due_at__lte=now).order_by("due_at").values_list("pk", flat=True))


def is_due(order_id: UUID, now: datetime) -> bool:
    """The order is to be looked at now."""
    return ChannelOrder.objects.filter(pk=order_id, due_at__lte=now).exists()


def next_due_at(*, after: datetime) -> datetime | None:
    """When the next order becomes due."""
    return ChannelOrder.objects.filter(due_at__gt=after).order_by("due_at").values_list("due_at", flat=True).first()


def open_invoices(among: Collection[UUID] | None = None) -> list[tuple[UUID, str]]:
    """(order id, payment hash) of every invoice (of these orders) whose state at the node may still change."""
    rows = HoldInvoice.objects.filter(state__in=[InvoiceState.OPEN, InvoiceState.HELD, InvoiceState.RETURNING])
    if among is not None:
        rows = rows.filter(order__in=among)
    return list(rows.values_list("order_id", "payment_hash"))


def invoice_is(order_id: UUID, states: Collection[InvoiceState]) -> bool:
    """By our records the order's invoice is in one of these states."""
    return HoldInvoice.objects.filter(order=order_id, state__in=states).exists()


def deposits_of(order: ChannelOrder) -> list[OnchainPayment]:
    """The order's deposits that are there, mined or not."""
    return list(OnchainPayment.objects.filter(order=order).exclude(state=DepositState.VANISHED))


def peer_is_taken(pubkey: str) -> bool:
    """Another order is opening a channel to this node right now."""
    return ChannelOpening.objects.filter(node_pubkey=pubkey, state__in=PEER_OCCUPYING).exists()


def waiting_for_peer(pubkey: str, *, reason: str | None = None) -> list[UUID]:
    """Claimed orders of this node whose channel is not opened yet; with `reason`, those that wait because of it."""
    orders = ChannelOrder.objects.filter(node_pubkey=pubkey, state=OrderState.URI_SET)
    if reason is not None:
        orders = orders.filter(last_failure_reason=reason)
    return list(orders.values_list("pk", flat=True))


def orders_of_channel(outpoint: Outpoint, states: Collection[OrderState]) -> list[UUID]:
    """The order whose funding made this channel, where it is in one of these states."""
    openings = ChannelOpening.objects.filter(
        transaction__txid=outpoint.txid, output_index=outpoint.index, order__state__in=states
    )
    return list(openings.values_list("order_id", flat=True))
