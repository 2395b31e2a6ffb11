"""What was earned, worked out in Python from rows of books, journal and forwards: slowly, and in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from lightning.types import Forward
from orders.figures import Parts, Period
from orders.models import ChannelOpening, Leg, OrderEvent

YEAR = 31_536_000
MICROSECOND = timedelta(microseconds=1)


def cost_msat(parts: Parts, ppm: int) -> Parts:
    return replace(parts, capital_cost_msat=parts.bound_msat_seconds * ppm // (1_000_000 * YEAR))


def _named(leg: Any) -> str:
    account, kind = leg["account"], leg["entry__kind"]
    if account == "chain_fees":
        return {"child": "bump_cost_msat", "refund": "refund_cost_msat"}.get(kind, "open_cost_msat")
    if account in {"given", "refunded"} and kind == "refund":
        return "refund_borne_msat"
    return {
        "fees_earned": "sale_fees_msat", "close_costs": "close_cost_msat", "losses": "losses_msat",
    }.get(account, "")  # fmt: skip


def legs() -> list[dict[str, Any]]:
    """Every leg there is."""
    return list(Leg.objects.values("account", "amount_msat", "entry__kind", "entry__at", "entry__order_id"))


def booked(found: Iterable[dict[str, Any]], since: datetime, until: datetime) -> dict[UUID | None, dict[str, int]]:
    """By order, what the books have of the time; what is bound is in millisatoshis by microseconds."""
    sums: dict[UUID | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for leg in found:
        at, msat, of_order = leg["entry__at"], leg["amount_msat"], sums[leg["entry__order_id"]]
        if at >= until:
            continue
        if leg["account"] == "channels":
            of_order["bound"] += msat * ((until - max(at, since)) // MICROSECOND)
        if at >= since and (name := _named(leg)):
            of_order[name] += -msat if name in {"sale_fees_msat", "refund_borne_msat"} else msat
    return sums


def sold() -> dict[str, UUID]:
    """The channels, by their names in the node's history."""
    return dict(ChannelOpening.objects.filter(state="confirmed").values_list("short_channel_id", "order_id"))


def scid(number: int) -> str:
    return f"{number >> 40}x{(number >> 16) & 0xFFFFFF}x{number & 0xFFFF}"


def routed(
    forwards: Iterable[Forward], first: date, last: date, by: Callable[[UUID, date], Any] = lambda order, day: order
) -> dict[Any, int]:
    channels, sums = sold(), defaultdict[Any, int](int)
    for each in forwards:
        day = datetime.fromtimestamp(each.at_ns // 10**9, UTC).date()
        order = channels.get(scid(each.channel_out)) or channels.get(scid(each.channel_in))
        if order is not None and first <= day <= last:
            sums[by(order, day)] += each.in_msat - each.out_msat
    return sums


def by_order(period: Period, now: datetime, forwards: Iterable[Forward], ppm: int) -> dict[UUID | None, Parts]:
    """The parts of every order that has any, and of no order."""
    first, last = period.whole_days
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    until = min(now, datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1))
    routing, told = routed(forwards, first, last), dict[UUID | None, Parts]()
    books = booked(legs(), min(since, until), until)
    for order in books.keys() | routing.keys():
        sums = dict(books.get(order, {}))
        bound = sums.pop("bound", 0) // 1_000_000
        parts = Parts(**sums, routing_msat=routing.get(order, 0), bound_msat_seconds=bound)
        if parts != Parts():
            told[order] = cost_msat(parts, ppm)
    return told


def fees_of_journal(period: Period, now: datetime) -> int:
    """What the orders have paid whose journal says that they were delivered, and sold, in these days."""
    days = period.of_days
    found = OrderEvent.objects.filter(to_state="opening", at__gte=days.since, at__lt=min(days.until, now))
    return sum(each.order.fee_total_sat for each in found.select_related("order") if each.facts["sold"])
