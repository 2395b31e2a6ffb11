"""What we remember. Models hold facts and read them; they do no I/O."""

from orders.models.alert import Alert, AlertMute, AlertRules
from orders.models.ban import Ban
from orders.models.books import FOUND_KINDS, Account, BooksCheck, Entry, EntryKind, Leg
from orders.models.credit import Credit
from orders.models.flag import Flag
from orders.models.journal import OrderEvent
from orders.models.limit import RequestCount
from orders.models.node import Heartbeat, Node, NodeSnapshot, Switch, SwitchEvent, SwitchName
from orders.models.opening import ChannelOpening
from orders.models.order import ChannelOrder, IdempotencyKey
from orders.models.payment import HoldInvoice, OnchainPayment
from orders.models.refund import Refund
from orders.models.reservation import Reservation
from orders.models.service import Service
from orders.models.trail import AuditEntry, AuditKind
from orders.models.transaction import SHAPING, TransactionKind, WalletTransaction

__all__ = [
    "FOUND_KINDS",
    "SHAPING",
    "Account",
    "Alert",
    "AlertMute",
    "AlertRules",
    "AuditEntry",
    "AuditKind",
    "Ban",
    "BooksCheck",
    "ChannelOpening",
    "ChannelOrder",
    "Credit",
    "Entry",
    "EntryKind",
    "Flag",
    "Heartbeat",
    "HoldInvoice",
    "IdempotencyKey",
    "Leg",
    "Node",
    "NodeSnapshot",
    "OnchainPayment",
    "OrderEvent",
    "Refund",
    "RequestCount",
    "Reservation",
    "Service",
    "Switch",
    "SwitchEvent",
    "SwitchName",
    "TransactionKind",
    "WalletTransaction",
]
