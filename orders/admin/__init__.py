"""What staff see and do. Nothing here writes a row of an order: deeds call operations, the rest is for reading."""

from orders.admin.attempts import DryRunAdmin, OpeningAdmin, TransactionAdmin
from orders.admin.bans import BanAdmin
from orders.admin.books import BooksCheckAdmin, EntryAdmin
from orders.admin.coupons import CouponAdmin, TokenPatternAdmin
from orders.admin.just_in_time import JitPartAdmin, JitPurchaseAdmin
from orders.admin.offers import ServiceAdmin
from orders.admin.orders import OrderAdmin
from orders.admin.records import (
    AlertAdmin,
    DepositAdmin,
    EventAdmin,
    FlagAdmin,
    HeartbeatAdmin,
    IdempotencyKeyAdmin,
    InvoiceAdmin,
    NodeAdmin,
    SnapshotAdmin,
    SwitchEventAdmin,
)
from orders.admin.refunds import RefundAdmin
from orders.admin.trail import AuditEntryAdmin
from orders.admin.waking import WakeUpAdmin, WebhookAdmin

__all__ = [
    "AlertAdmin",
    "AuditEntryAdmin",
    "BanAdmin",
    "BooksCheckAdmin",
    "CouponAdmin",
    "DepositAdmin",
    "DryRunAdmin",
    "EntryAdmin",
    "EventAdmin",
    "FlagAdmin",
    "HeartbeatAdmin",
    "IdempotencyKeyAdmin",
    "InvoiceAdmin",
    "JitPartAdmin",
    "JitPurchaseAdmin",
    "NodeAdmin",
    "OpeningAdmin",
    "OrderAdmin",
    "RefundAdmin",
    "ServiceAdmin",
    "SnapshotAdmin",
    "SwitchEventAdmin",
    "TokenPatternAdmin",
    "TransactionAdmin",
    "WakeUpAdmin",
    "WebhookAdmin",
]
