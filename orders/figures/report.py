"""All the figures together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orders import queries
from orders.figures.attention import Needs, needs
from orders.figures.closings import Ended, closings
from orders.figures.coupons import CouponSum, coupons
from orders.figures.days import StockDay, UptimeDay, stock_by_day, uptime_by_day
from orders.figures.doors import DoorSum, WalletSum, doors, wallets
from orders.figures.earning import Earnings, earnings
from orders.figures.funnel import Funnel, funnel
from orders.figures.openings import Openings, Waits, openings, waits
from orders.figures.period import Period
from orders.figures.sales import Day, Month, by_day, by_month
from orders.figures.server import Beat, NodeSeen, Queue, heartbeats, node_seen, queue
from orders.figures.standing import FlagSum, Oldest, StateSum, by_state, flags, oldest
from orders.figures.tally import one_look
from orders.figures.wallet import Capacity, Coins, RefundSum, capacity, coins, refunds
from orders.models import NodeSnapshot


@dataclass(frozen=True, slots=True)
class Report:
    """The shop now, and what happened in a period."""

    at: datetime
    period: Period
    orders: list[StateSum]
    oldest: list[Oldest]
    flags: list[FlagSum]
    needs: Needs
    funnel: Funnel
    openings: Openings
    waits: Waits
    closings: list[Ended]
    days: list[Day]
    months: list[Month]
    coupons: list[CouponSum]
    doors: list[DoorSum]
    wallets: list[WalletSum]
    #: Of the whole days that the period touches; the best and the worst channels, and no list of all.
    earnings: Earnings
    stock: list[StockDay]
    uptime: list[UptimeDay]
    capacity: Capacity
    coins: Coins | None
    refunds: list[RefundSum]
    queue: Queue
    heartbeats: list[Beat]
    node: NodeSeen | None


def report(period: Period, now: datetime) -> Report:
    """Each figure once. The snapshot of the node is read once for all of them, and so is which days are kept."""
    with one_look():
        return _report(period, now, queries.snapshot())


def _report(period: Period, now: datetime, seen: NodeSnapshot | None) -> Report:
    return Report(
        at=now,
        period=period,
        orders=by_state(),
        oldest=oldest(now),
        flags=flags(),
        needs=needs(now, seen),
        funnel=funnel(period),
        openings=openings(period),
        waits=waits(period),
        closings=closings(period),
        days=by_day(period),
        months=by_month(period),
        coupons=coupons(period),
        doors=doors(period),
        wallets=wallets(period),
        earnings=earnings(period, now, limit=0),
        stock=stock_by_day(period),
        uptime=uptime_by_day(period),
        capacity=capacity(seen),
        coins=coins(seen) if seen else None,
        refunds=refunds(),
        queue=queue(now),
        heartbeats=heartbeats(now),
        node=node_seen(seen, now) if seen else None,
    )
