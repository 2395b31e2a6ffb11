"""From figures to families of samples: pure. Every label is one of a list, never an order, a buyer or a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from orders.causes import FlagKind
from orders.figures import (
    Beat,
    Capacity,
    Coins,
    Earned,
    Funnel,
    Histogram,
    Needs,
    NodeSeen,
    Oldest,
    Openings,
    Parts,
    Queue,
    RefundSum,
    StateSum,
    Step,
)
from orders.figures.asking import REASONS
from orders.figures.standing import MOVING
from orders.models import SwitchName

Word = TypeVar("Word", bound=str)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lsp_{name}", meaning, value=value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[Word, float]) -> Metric:
    family = GaugeMetricFamily(f"lsp_{name}", meaning, labels=[label])
    for each, value in values.items():
        family.add_metric([str(each)], value)
    return family


def server(database_seconds: float, beats: Sequence[Beat], queue: Queue) -> Iterator[Metric]:
    """Our own processes, their queue and the database."""
    yield _gauge(
        "database_seconds", "How long the database took to answer a statement that costs it nothing.", database_seconds
    )
    ages = {beat.name: beat.age_seconds for beat in beats}
    yield _gauges("heartbeat_age_seconds", "Since a process, or a lane of one, last finished its round.", "name", ages)
    stale = {beat.name: beat.is_stale for beat in beats}
    yield _gauges("heartbeat_stale", "1 where that is longer than HEARTBEAT_STALE_SECONDS.", "name", stale)
    tasks = {"waiting": queue.waiting, "running": queue.running}
    yield _gauges("queue_tasks", "Tasks of the worker.", "state", tasks)
    yield _gauge("queue_oldest_seconds", "How long the oldest task waits.", queue.oldest_seconds)


def needs_you(needs: Needs, alerts_standing: int) -> Iterator[Metric]:
    """What a person should look at."""
    standing = {str(kind): 0 for kind in FlagKind} | {str(each.kind): each.flags for each in needs.flags}
    yield _gauges("flags", "Flags that stand: orders that need a person, by why.", "kind", standing)
    off = set(needs.paused)
    yield _gauges(
        "switch_on",
        "0 where staff, or the server itself, have paused it.",
        "name",
        {s: s not in off for s in SwitchName},
    )
    yield _gauges(
        "needs_you", "What else needs a person, or will: as the admin's first page counts it.", "what", needs.counts
    )
    yield _gauge("alerts_standing", "Alerts that are not over, told or not.", alerts_standing)


def orders(states: Iterable[StateSum], oldest: Iterable[Oldest]) -> Iterator[Metric]:
    """Where all orders are."""
    found = list(states)
    yield _gauges("orders", "Orders that are in a state now.", "state", {each.state: each.orders for each in found})
    sizes = {each.state: each.capacity_sat for each in found}
    yield _gauges("orders_capacity_sat", "The size of their channels, both sides together.", "state", sizes)
    ages = dict.fromkeys(MOVING, 0) | {each.state: each.age_seconds for each in oldest}
    yield _gauges(
        "oldest_order_seconds",
        "How long the order that is longest in a state has been in it; 0: none is.",
        "state",
        ages,
    )


def lately(funnel: Funnel) -> Iterator[Metric]:
    """The orders of the last day: gauges, since an order that is claimed may be claimed no more."""
    reached = {step: funnel.reached(step) for step in Step}
    yield _gauges(
        "day_orders", "Orders that were quoted in the last 24 hours, by each step they came to.", "step", reached
    )
    family = GaugeMetricFamily(
        "lsp_day_orders_lost", "Those of them that came no farther, and why.", labels=["after", "why"]
    )
    for each in funnel.lost:
        family.add_metric([each.after, each.why], each.orders)
    yield family


def openings(ever: Openings, histogram: Histogram, earned: Earned) -> Iterator[Metric]:
    """Counted from the first day on: no sample of these ever gets less."""
    family = CounterMetricFamily(
        "lsp_openings", "Attempts that are over, by outcome and why.", labels=["outcome", "reason"]
    )
    family.add_metric(["confirmed", ""], ever.confirmed)
    for reason, number in (dict.fromkeys(REASONS, 0) | dict(ever.failures)).items():
        family.add_metric(["failed", reason], number)
    yield family
    yield _gauge("openings_under_way", "Attempts that are neither confirmed nor failed.", ever.under_way)
    yield HistogramMetricFamily(
        "lsp_payment_to_usable_seconds",
        "From the payment that counts to the usable channel.",
        buckets=[("+Inf" if bound is None else str(bound), orders) for bound, orders in histogram.buckets],
        sum_value=histogram.sum_seconds,
    )
    yield CounterMetricFamily("lsp_channels_opened", "Channels that became usable.", value=earned.channels)
    yield CounterMetricFamily("lsp_channels_opened_sat", "Their size, both sides together.", value=earned.capacity_sat)
    yield CounterMetricFamily(
        "lsp_fees_earned_sat", "What their buyers paid for them, pushed balance excepted.", value=earned.fees_sat
    )


def earnings(ever: Parts) -> Iterator[Metric]:
    """From the first day on: gauges, since what was earned may be given back, and a close be taken back."""
    parts = {
        "sale": ever.sale_fees_msat,
        "routing": ever.routing_msat,
        "open": -ever.open_cost_msat,
        "bump": -ever.bump_cost_msat,
        "close": -ever.close_cost_msat,
        "refund": ever.refund_borne_msat - ever.refund_cost_msat,
        "losses": -ever.losses_msat,
        "capital": -ever.capital_cost_msat,
    }
    yield _gauges("earned_msat", "What was ever earned, by what it came from; costs are negative.", "part", parts)
    yield _gauge("profit_msat", "All of these together.", ever.profit_msat)
    yield _gauge(
        "capital_bound_msat_seconds",
        "Our coins in sold channels, each for so long as it was there.",
        ever.bound_msat_seconds,
    )


def refunds(sums: Sequence[RefundSum]) -> Iterator[Metric]:
    """What goes back on chain."""
    yield _gauges(
        "refunds", "Refunds on chain, by where they are.", "state", {each.stands: each.refunds for each in sums}
    )
    amounts = {each.stands: each.amount_sat for each in sums}
    yield _gauges("refunds_sat", "Their sum, sending included; what is only proposed is ours still.", "state", amounts)


def capacity(found: Capacity) -> Iterator[Metric]:
    """What there is to sell, and who holds it. What rests on the node's coins is absent where it was never seen."""
    named = {name: getattr(found, f"{name}_sat") for name in ("sold", "total", "promised", "free", "available")}
    known = {name: sat for name, sat in named.items() if sat is not None}
    yield _gauges(
        "capacity_sat",
        "Sold: in channels that stand. Of our coins: in total, promised, free, available.",
        "what",
        known,
    )
    held = {each.firmness: each.value_sat for each in found.reserved}
    yield _gauges("reserved_sat", "What is reserved for orders, by how firmly.", "firmness", held)
    orders = {each.firmness: each.orders for each in found.reserved}
    yield _gauges("reservations", "For how many orders.", "firmness", orders)


def coins(found: Coins) -> Iterator[Metric]:
    """The wallet as it was last seen."""
    kinds = {"deep": found.deep, **dict(found.aside)}
    yield _gauges(
        "coins",
        "Coins, by what they are good for: only deep ones fund channels.",
        "kind",
        {k: s.coins for k, s in kinds.items()},
    )
    yield _gauges("coins_sat", "What they are worth.", "kind", {k: s.sat for k, s in kinds.items()})
    sizes = {str(least): each.coins for least, each in found.by_size}
    yield _gauges(
        "deep_coins", "Deep coins of at least so many satoshis, and less than the next size.", "at_least_sat", sizes
    )
    worth = {str(least): each.sat for least, each in found.by_size}
    yield _gauges("deep_coins_sat", "What they are worth.", "at_least_sat", worth)


def node(seen: NodeSeen | None) -> Iterator[Metric]:
    """The node as it was last seen; nobody asks it for a scrape."""
    yield _gauge("node_known", "1 once the node was seen; before that nothing else is told of it.", seen is not None)
    if seen is None:
        return
    family = GaugeMetricFamily("lsp_node_info", "Which LND it is.", labels=["version", "network"])
    family.add_metric([seen.version, seen.network], 1)
    yield family
    yield _gauge("node_seen_age_seconds", "Since it was last seen.", seen.age_seconds)
    yield _gauge("node_synced", "1 while it follows the chain.", seen.follows_chain)
    yield _gauge("node_block_height", "Its newest block.", seen.block_height)
    yield _gauge("node_active_channels", "Its active channels.", seen.active_channels)
    sides = {"local": seen.local_balance_sat, "remote": seen.remote_balance_sat}
    yield _gauges("node_balance_sat", "In active public channels, by side.", "side", sides)
    yield _gauge("node_fee_sat_per_kw", "What it thinks that a funding should pay.", seen.estimate_sat_per_kw)
    if seen.look_seconds is not None:
        yield _gauge("node_look_seconds", "How long it took to answer all that the last look asked.", seen.look_seconds)
