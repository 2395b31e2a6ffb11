"""The numbers of the shop, each with one name and one meaning: what pages, the command and Prometheus tell is the same.

Read only. Each figure is a bounded number of statements whatever the number of orders: PostgreSQL counts, nobody here
goes through orders one by one.
"""

from orders.figures.days import (
    EarnedDay,
    RoutingDay,
    StockDay,
    UptimeDay,
    earned_by_day,
    earned_ever,
    routing_by_day,
    stock_by_day,
    uptime_by_day,
)
from orders.figures.earning import ChannelEarned, Earnings, channels_earned, earnings
from orders.figures.funnel import Funnel, Lost, Step, funnel
from orders.figures.openings import BUCKETS_SECONDS, Histogram, Openings, Waits, histogram, openings, waits
from orders.figures.parts import Parts
from orders.figures.period import Period
from orders.figures.report import Report, report
from orders.figures.sales import Day, Earned, Month, by_day, by_month, earned
from orders.figures.server import (
    Beat,
    NodeSeen,
    Queue,
    alerts_standing,
    database_seconds,
    heartbeats,
    node_seen,
    paused,
    queue,
)
from orders.figures.standing import FlagSum, Oldest, StateSum, by_state, flags, oldest
from orders.figures.wallet import (
    SIZES_SAT,
    Capacity,
    Coins,
    CoinSum,
    RefundSum,
    Reserved,
    capacity,
    coins,
    refunds,
)

__all__ = [
    "BUCKETS_SECONDS",
    "SIZES_SAT",
    "Beat",
    "Capacity",
    "ChannelEarned",
    "CoinSum",
    "Coins",
    "Day",
    "Earned",
    "EarnedDay",
    "Earnings",
    "FlagSum",
    "Funnel",
    "Histogram",
    "Lost",
    "Month",
    "NodeSeen",
    "Oldest",
    "Openings",
    "Parts",
    "Period",
    "Queue",
    "RefundSum",
    "Report",
    "Reserved",
    "RoutingDay",
    "StateSum",
    "Step",
    "StockDay",
    "UptimeDay",
    "Waits",
    "alerts_standing",
    "by_day",
    "by_month",
    "by_state",
    "capacity",
    "channels_earned",
    "coins",
    "database_seconds",
    "earned",
    "earned_by_day",
    "earned_ever",
    "earnings",
    "flags",
    "funnel",
    "heartbeats",
    "histogram",
    "node_seen",
    "oldest",
    "openings",
    "paused",
    "queue",
    "refunds",
    "report",
    "routing_by_day",
    "stock_by_day",
    "uptime_by_day",
    "waits",
]
