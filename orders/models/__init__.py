"""What we remember. Models hold facts and read them; they do no I/O."""

from orders.models.alert import Alert, AlertMute, AlertRules
from orders.models.ban import Ban
from orders.models.books import FOUND_KINDS, Account, BooksCheck, Entry, EntryKind, Leg
from orders.models.closing import ChannelClosing, ClosingKind
from orders.models.coupon import Coupon, TokenPattern
from orders.models.credit import Credit
from orders.models.dry_run import DryRun
from orders.models.flag import Flag
from orders.models.jit import JitPart, JitPurchase, PartDecision
from orders.models.journal import OrderEvent
from orders.models.limit import RequestCount
from orders.models.node import Heartbeat, Node, NodeSnapshot, Switch, SwitchEvent, SwitchName
from orders.models.opening import ChannelOpening
from orders.models.order import ChannelOrder, IdempotencyKey
from orders.models.payment import HoldInvoice, OnchainPayment
from orders.models.refund import Refund
from orders.models.reservation import Reservation, Reserved
from orders.models.rollup import (
    Alive,
    DayFigure,
    MoneyDay,
    OrderEarned,
    RollUp,
    RollUpName,
    StaleDay,
    StaleOrder,
    StockDay,
    StockSample,
    UptimeDay,
)
from orders.models.routing import UNNUMBERED, Forward, ForwardDay
from orders.models.service import Preflight, Service
from orders.models.trail import AuditEntry, AuditKind
from orders.models.transaction import SHAPING, TransactionKind, WalletTransaction
from orders.models.waking import WakeUp, WakeUpMethod, WakeUpOutcome, Webhook

__all__ = [
    "FOUND_KINDS",
    "SHAPING",
    "UNNUMBERED",
    "Account",
    "Alert",
    "AlertMute",
    "AlertRules",
    "Alive",
    "AuditEntry",
    "AuditKind",
    "Ban",
    "BooksCheck",
    "ChannelClosing",
    "ChannelOpening",
    "ChannelOrder",
    "ClosingKind",
    "Coupon",
    "Credit",
    "DayFigure",
    "DryRun",
    "Entry",
    "EntryKind",
    "Flag",
    "Forward",
    "ForwardDay",
    "Heartbeat",
    "HoldInvoice",
    "IdempotencyKey",
    "JitPart",
    "JitPurchase",
    "Leg",
    "MoneyDay",
    "Node",
    "NodeSnapshot",
    "OnchainPayment",
    "OrderEarned",
    "OrderEvent",
    "PartDecision",
    "Preflight",
    "Refund",
    "RequestCount",
    "Reservation",
    "Reserved",
    "RollUp",
    "RollUpName",
    "Service",
    "StaleDay",
    "StaleOrder",
    "StockDay",
    "StockSample",
    "Switch",
    "SwitchEvent",
    "SwitchName",
    "TokenPattern",
    "TransactionKind",
    "UptimeDay",
    "WakeUp",
    "WakeUpMethod",
    "WakeUpOutcome",
    "WalletTransaction",
    "Webhook",
]
