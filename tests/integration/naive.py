"""The figures once more, order by order in Python: slow, and simple enough to be seen to be right."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from orders.causes import Cause, FlagKind
from orders.figures import Period
from orders.models import ChannelOpening, ChannelOrder, Flag, Refund
from orders.models.order import Door
from orders.openings import reasons

OVER = {"expired", "rejected", "refunded", "give_up", "closed", "closing"}
KNOWN = reasons.FINAL | reasons.PASSING | {"CANCELLED"}


def orders() -> Iterable[ChannelOrder]:
    return ChannelOrder.objects.prefetch_related("events", "refunds")


def within(moment: datetime | None, period: Period | None) -> bool:
    return moment is not None and (period is None or period.since <= moment < period.until)


def word(reason: str) -> str:
    return reason if reason in KNOWN else "FAILED_OPENING"


def by_state() -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for order in orders():
        number, sat = found[order.state]
        found[order.state] = number + 1, sat + order.capacity_sat
    return dict(found)


def since(order: ChannelOrder) -> datetime:
    """When the order came to its state."""
    moves = [event.at for event in order.events.all() if event.from_state != event.to_state]
    return order.created_at if order.state == "created" or not moves else moves[-1]


def oldest() -> dict[str, datetime]:
    moving = {"created", "paid", "uri_set", "opening", "give_up", "closing"}
    found: dict[str, datetime] = {}
    for order in orders():
        if order.state in moving:
            found[order.state] = min(found.get(order.state, since(order)), since(order))
    return found


def step(order: ChannelOrder) -> str:
    if order.opened_at:
        return "open"
    if order.paid_at and order.claimed_at:
        return "claimed"
    return "paid" if order.paid_at else "quoted"


def why(order: ChannelOrder) -> str:
    """Of an order that is lost."""
    if order.give_up_reason:
        return word(order.give_up_reason)
    ended = [event for event in order.events.all() if event.to_state in OVER and event.from_state not in OVER]
    cause = ended[-1].cause if ended else ""
    if cause == Cause.REFUND_MINED:
        cause = [refund.cause for refund in order.refunds.all() if refund.ends_order][-1]
    return cause if cause in Cause.values else "unknown"


def funnel(period: Period) -> dict[str, Any]:
    quoted = [order for order in orders() if within(order.created_at, period)]
    lost, under_way = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for order in quoted:
        if order.opened_at:
            continue
        if order.state in OVER:
            lost[step(order), why(order)] += 1
        else:
            reason = order.last_failure_reason if order.state == "uri_set" else ""
            under_way[step(order), word(reason) if reason else ""] += 1
    steps = ["quoted", "paid", "claimed", "open"]
    reached = [sum(step(order) in steps[at:] for order in quoted) for at in range(4)]
    return {"reached": reached, "lost": lost, "under_way": under_way}


def openings(period: Period | None) -> dict[str, Any]:
    found = [row for row in ChannelOpening.objects.all() if within(row.created_at, period)]
    failed = [word(row.failure_reason) for row in found if row.state == "failed"]
    confirmed = sum(row.state == "confirmed" for row in found)
    return {"begun": len(found), "confirmed": confirmed, "failures": Counter(failed)}


def waited(period: Period | None) -> list[int]:
    """Whole seconds from payment to usable, the shortest first."""
    found = [order for order in orders() if within(order.opened_at, period) and order.paid_at]
    return sorted(max(0, math.floor((o.opened_at - o.paid_at).total_seconds())) for o in found)  # type: ignore[operator]


def percentile(values: list[int], part: float) -> int | None:
    return values[math.ceil(part * len(values)) - 1] if values else None


def days(period: Period) -> dict[date, list[int]]:
    found: dict[date, list[int]] = defaultdict(lambda: [0] * 5)
    for order in orders():
        if within(order.paid_at, period):
            _add(found[order.paid_at.date()], [1, order.order_total_sat, 0, 0, 0])  # type: ignore[union-attr]
        if within(order.opened_at, period):
            sold = [0, 0, 1, order.capacity_sat, order.fee_total_sat]
            _add(found[order.opened_at.date()], sold)  # type: ignore[union-attr]
    return dict(found)


def months(period: Period) -> dict[date, list[int]]:
    found: dict[date, list[int]] = defaultdict(lambda: [0] * 4)
    for order in orders():
        for moment, more in (
            (order.opened_at, [1, order.capacity_sat, 0, 0]),
            (order.closed_at, [0, 0, 1, order.capacity_sat]),
        ):
            if moment is not None and within(moment, period):
                _add(found[moment.date().replace(day=1)], more)
    return dict(found)


def coupons(period: Period | None) -> dict[int, list[int]]:
    """Of each: quoted, used, sold, and of these capacity, fees and discount."""
    found: dict[int, list[int]] = defaultdict(lambda: [0] * 6)
    for order in orders():
        if order.coupon_id is not None and within(order.created_at, period):
            used = order.state not in {"expired", "rejected", "refunded"}
            sold = [1, order.capacity_sat, order.fee_total_sat, order.discount_sat] if order.opened_at else [0] * 4
            _add(found[order.coupon_id], [1, int(used), *sold])
    return dict(found)


def doors(period: Period) -> dict[str, list[int]]:
    """Of each: quoted, paid, sold, and of these capacity and fees."""
    found: dict[str, list[int]] = {door: [0] * 5 for door in Door}
    for order in orders():
        if within(order.created_at, period):
            _add(found[order.door], _sold(order))
    return found


def wallets(period: Period) -> dict[str, list[int]]:
    """The same of each token that is no coupon's; all of them."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for order in orders():
        if order.token and order.coupon_id is None and within(order.created_at, period):
            _add(found[order.token], _sold(order))
    return dict(found)


def _sold(order: ChannelOrder) -> list[int]:
    sold = [1, order.capacity_sat, order.fee_total_sat] if order.opened_at else [0] * 3
    return [1, int(order.paid_at is not None), *sold]


def _add(to: list[int], more: list[int]) -> None:
    to[:] = [one + other for one, other in zip(to, more, strict=True)]


def flags() -> Counter[str]:
    standing = [flag.kind for flag in Flag.objects.all() if flag.lowered_at is None]
    return Counter(kind if kind in FlagKind.values else "other" for kind in standing)


def refunds() -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for row in Refund.objects.all():
        stands = "under_way" if row.state in {"signed", "published"} else row.state
        number, amount_sat, fee_sat = found[stands]
        found[stands] = number + 1, amount_sat + row.amount_sat, fee_sat + row.fee_sat
    return dict(found)
