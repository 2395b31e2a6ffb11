"""Our database in the hands of a test: emptied between examples, and made older, as if time had passed."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, models, transaction
from django.db.models import F
from django.utils import timezone

from orders.models import (
    Alert,
    AlertMute,
    AlertRules,
    Alive,
    AuditEntry,
    Ban,
    BooksCheck,
    ChannelClosing,
    ChannelOpening,
    ChannelOrder,
    Coupon,
    Credit,
    DayFigure,
    DryRun,
    Entry,
    Flag,
    Forward,
    ForwardDay,
    Heartbeat,
    HoldInvoice,
    IdempotencyKey,
    JitPart,
    JitPurchase,
    Leg,
    MoneyDay,
    Node,
    NodeSnapshot,
    OnchainPayment,
    OrderEarned,
    OrderEvent,
    Refund,
    RequestCount,
    Reservation,
    RollUp,
    StaleDay,
    StaleOrder,
    StockDay,
    StockSample,
    UptimeDay,
    WakeUp,
    WalletTransaction,
    Webhook,
)

_TABLES: tuple[type[models.Model], ...] = (
    ChannelOrder, HoldInvoice, OnchainPayment, WalletTransaction, ChannelOpening, OrderEvent, Node, NodeSnapshot,
    IdempotencyKey, RequestCount, Alert, Heartbeat, Flag, Reservation, Refund, Credit, Entry, Leg, BooksCheck, Ban,
    ChannelClosing,
    Forward, ForwardDay, RollUp, MoneyDay, StockSample, StockDay, Alive, UptimeDay,
    DayFigure, StaleDay, OrderEarned, StaleOrder,
    AuditEntry, AlertMute, AlertRules, DryRun, Coupon, JitPart, JitPurchase, WakeUp, Webhook,
)  # fmt: skip
#: Every moment that something of ours is compared with.
_MOMENTS: dict[type[models.Model], tuple[str, ...]] = {
    ChannelOrder: (
        "created_at", "due_at", "expires_at", "paid_at", "claimed_at", "claim_expires_at", "open_deadline_at",
        "give_up_until", "lease_starts_at", "lease_ends_at", "opened_at",
    ),
    ChannelOpening: ("created_at", "changed_at"),
    WalletTransaction: ("created_at", "published_at", "bumped_at"),
    NodeSnapshot: ("at", "synced_at"),
    Node: ("deposits_at", "deposits_reread_at"),
    Reservation: ("since", "until", "leased_at", "gives_way_at", "released_at"),
    OnchainPayment: ("seen_at",),
    Refund: ("created_at", "refunded_at"),
    Credit: ("given_at", "seen_at", "ended_at", "lost_at"),  # `looked_at` stays: nobody stood still meanwhile
    Ban: ("created_at", "until", "lifted_at"),
    ChannelClosing: ("created_at", "asked_at", "ended_at"),
    Alive: ("since", "until"),
    Coupon: ("starts_at", "ends_at"),
    DryRun: ("begun_at", "ended_at"),
    JitPurchase: ("created_at", "valid_until", "opened_at"),
    JitPart: ("heard_at", "decided_at"),
    Webhook: ("set_at", "needed_at", "looked_at"),
    WakeUp: ("created_at", "next_at", "ended_at", "came_at"),
    AlertMute: ("made_at", "until", "lifted_at"),
}  # fmt: skip


def empty() -> None:
    """Nothing was ever sold."""
    names = ", ".join(table._meta.db_table for table in _TABLES)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} CASCADE")


def age(seconds: int) -> None:
    """All that we remember happened so much earlier, and all that is to come is so much nearer."""
    with transaction.atomic():
        for table, moments in _MOMENTS.items():
            table._default_manager.update(**{name: F(name) - timedelta(seconds=seconds) for name in moments})


def hurry() -> None:
    """Every pause of an order is over."""
    ChannelOrder.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
