"""All of the page, in a number of statements that no number of orders changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from orders import figures, queries
from orders.dashboard import bars, charts, daily
from orders.dashboard.asked import LENGTHS, Asked, asked
from orders.dashboard.calls import Call, calls
from orders.dashboard.charts import Axis, Chart
from orders.dashboard.words import count, lasting, part
from orders.figures import EarnedDay, Openings, Parts, Period, Sold, Unit, Waits
from orders.figures.parts import capital_cost_msat
from orders.models import NodeSnapshot


@dataclass(frozen=True, slots=True)
class Tile:
    """One number in large."""

    label: str
    value: str
    detail: str = ""
    unit: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Bars with a heading; `nothing`: what is said where there are none."""

    name: str
    title: str
    bars: list[bars.Bar]
    nothing: str
    note: str = ""


def dashboard(query: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """What the template shows."""
    with figures.one_look():
        return _shown(asked(query, now), now, queries.snapshot())


def _shown(chosen: Asked, now: datetime, seen: NodeSnapshot | None) -> dict[str, Any]:
    period, unit = chosen.period, figures.unit_of(chosen.period)
    sold = figures.sold(period, unit)
    earned = figures.earned_by_day(period, now)
    drawn = [*_charts(period, unit, sold), *_daily(period, earned)]
    return {
        "calls": _calls(now, seen),
        "asked": chosen,
        "lengths": list(LENGTHS),
        **_told(chosen, now, seen, sold, earned),
        "charts": drawn,
        "drawn": [chart.drawn for chart in drawn if not chart.is_empty],
    }


def _calls(now: datetime, seen: NodeSnapshot | None) -> list[Call]:
    return calls(figures.needs(now, seen), figures.node_seen(seen, now) if seen else None)


def _charts(period: Period, unit: Unit, sold: list[Sold]) -> list[Chart]:
    """What happened, slot by slot."""
    axis = Axis(figures.slots(period, unit), unit)
    return [
        charts.sales(axis, sold),
        charts.fees(axis, sold),
        charts.size(axis, sold),
        charts.waiting(axis, figures.waited(period, unit)),
        charts.attempts(axis, figures.tried(period, unit)),
    ]


def _daily(period: Period, earned: list[EarnedDay]) -> list[Chart]:
    """What is kept by the day."""
    axis, kept = daily.axis_of(period), figures.stock_by_day(period)
    return [
        daily.earned(axis, earned),
        daily.stock(axis, kept),
        daily.coins(axis, kept),
        daily.uptime(axis, figures.uptime_by_day(period)),
    ]


def _told(
    chosen: Asked, now: datetime, seen: NodeSnapshot | None, sold: list[Sold], earned: list[EarnedDay]
) -> dict[str, Any]:
    """What stands beside the charts. Sums are those of the slots: the command and Prometheus say the same."""
    tried, waits = figures.openings(chosen.period), figures.waits(chosen.period)
    return {
        "tiles": [_profit(chosen, earned), *_tiles(sold, tried, waits)],
        "stages": bars.stages(figures.funnel(chosen.period)),
        "groups": [*_happened(chosen, tried), *_stands(now, seen)],
    }


def _profit(chosen: Asked, earned: list[EarnedDay]) -> Tile:
    """Of whole days, as the page of what we earn has it, to which it leads."""
    total = sum((day.parts for day in earned), Parts())
    cost_msat = capital_cost_msat(total.bound_msat_seconds, settings.CAPITAL_COST_PPM)
    profit_msat = total.booked_msat + total.routing_msat - cost_msat
    url = f"{reverse('admin:orders_earnings')}?from={chosen.first}&to={chosen.last}"
    return Tile("Profit", f"{round(profit_msat / 1000):,}", "with routing fees, less all costs", "sat", url)


def _tiles(sold: list[Sold], tried: Openings, waits: Waits) -> list[Tile]:
    opened = sum(each.opened for each in sold)
    over = tried.confirmed + tried.failed
    return [
        _sat("Fees earned", sum(each.fees_sat for each in sold), "with the channels that became usable"),
        Tile("Channels usable", f"{opened:,}", f"of {count(sum(each.paid for each in sold), 'order')} paid"),
        _sat("Capacity sold", sum(each.opened_sat for each in sold), "both sides of these channels"),
        Tile("Openings that succeed", part(tried.success), f"{tried.confirmed:,} of {count(over, 'attempt')}"),
        Tile(
            "Payment to usable",
            lasting(waits.p50_seconds),
            f"half of them; 95 of 100 within {lasting(waits.p95_seconds)}"
            if waits.orders
            else "no channel became usable",
        ),
    ]


def _sat(label: str, amount: int, detail: str) -> Tile:
    return Tile(label, f"{amount:,}", detail, "sat")


def _happened(chosen: Asked, tried: Openings) -> list[Group]:
    closed = figures.closings(chosen.period)
    return [
        Group("failures", "Why openings failed", bars.failures(tried, chosen), "No attempt failed."),
        Group("endings", "Channels closed", bars.endings(closed), "No channel was closed."),
    ]


def _stands(now: datetime, seen: NodeSnapshot | None) -> list[Group]:
    held, channels = figures.coins(seen) if seen else None, bars.standing(figures.channels(now, seen))
    return [
        Group("channels", "Channels", channels, "No channel that was sold stands.", "now"),
        Group("stock", "Capacity", bars.stock(figures.capacity(seen)), "The node was never seen.", "now"),
        Group("coins", "Coins in the wallet", bars.purse(held) if held else [], "No coins were seen.", "now, by size"),
        Group("refunds", "Refunds on chain", bars.refunded(figures.refunds()), "There were none.", "of all time"),
    ]
