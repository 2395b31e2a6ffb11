"""`manage.py figures`: how the shop stands, and what happened in a period."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from orders import figures
from orders.dashboard.calls import calls
from orders.figures import (
    ChannelEarned,
    CouponSum,
    Earnings,
    Funnel,
    Lost,
    Openings,
    Parts,
    Period,
    Report,
    Step,
    Waits,
)
from orders.ids import short
from orders.management.taken_away import note_export

_UNTOLD: Final = timedelta(days=30)


class Command(BaseCommand):
    """The same numbers as everywhere; see orders.figures for what each counts."""

    help = "Prints how the shop stands now, and what was sold, lost and earned in a period. Changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="since", type=moment, help="a day or a moment, UTC; default: 30 days before")
        parser.add_argument("--to", dest="until", type=moment, help="that moment is not in it any more; default: now")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, since: datetime | None, until: datetime | None, json: bool, **options: Any) -> None:
        now = timezone.now()
        until = until or now
        try:
            period = Period(since or until - _UNTOLD, until)
        except ValueError as error:
            raise CommandError(f"There is no such period: {error}.") from error
        if json:
            note_export("figures --json", since=period.since.isoformat(), until=period.until.isoformat())
        found = figures.report(period, now)
        self.stdout.write(as_json(found) if json else "\n".join(told(found)))


def moment(text: str) -> datetime:
    """A day is its beginning. Without a time zone it is UTC. Raises: ArgumentTypeError."""
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("must be like 2026-03-01 or 2026-03-01T12:30") from None
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def as_json(found: Report) -> str:
    """The report as one object."""
    whole = asdict(found)
    whole["openings"]["success"] = found.openings.success
    whole["earnings"] |= {name: _as_json(getattr(found.earnings, name)) for name in ("total", "beside")}
    for name in ("rows", "best", "worst"):
        listed: Sequence[ChannelEarned] = getattr(found.earnings, name)
        whole["earnings"][name] = [asdict(each) | {"parts": _as_json(each.parts)} for each in listed]
    return json.dumps(whole, indent=2, default=_plain)


def _as_json(parts: Parts) -> dict[str, int | None]:
    """With what the parts come to."""
    return asdict(parts) | {"profit_msat": parts.profit_msat, "yearly_ppm": parts.yearly_ppm}


def _plain(value: Any) -> str:
    """No order's whole id: it is the right to claim."""
    return short(value) if isinstance(value, UUID) else str(value.isoformat())


def told(found: Report) -> Iterator[str]:
    """For people, a section for each thing that one asks."""
    now = _minute(found.at)
    yield f"Now, {now}"
    yield from _needs(found)
    yield from _orders(found)
    yield from _node(found)
    yield from _money(found)
    yield from _server(found)
    yield ""
    yield f"From {_minute(found.period.since)} to {_minute(found.period.until)}"
    yield from _funnel(found.funnel)
    yield from _openings(found.openings, found.waits)
    yield from _sales(found)
    yield from _earnings(found.earnings)
    yield from _by_day(found)


def _needs(found: Report) -> Iterator[str]:
    """In the words of the admin's first page."""
    yield from _section("needs you now")
    called = calls(found.needs, found.node)
    yield from (f"  {call.words}{f' ({call.detail})' if call.detail else ''}" for call in called)
    yield from () if called else ("  nothing",)


def _orders(found: Report) -> Iterator[str]:
    oldest = {each.state: each.age_seconds for each in found.oldest}
    yield from _section("orders", "", "orders", "sat", "longest")
    for each in found.orders:
        age = _span(oldest[each.state]) if each.state in oldest else ""
        yield _row(each.state, each.orders, each.capacity_sat, age)
    yield from _section("flags that stand")
    yield from (_row(each.kind.label, each.flags) for each in found.flags)
    yield from () if found.flags else ("  none",)


def _node(found: Report) -> Iterator[str]:
    yield from _section("node")
    if found.node is None or found.coins is None:
        yield "  never seen"
        return
    node = found.node
    synced = "synced" if node.follows_chain else "not synced"
    yield f"  {node.version}, block {node.block_height:,}, {synced}, seen {_span(node.age_seconds)} ago"
    yield from _section("coins", "", "coins", "sat")
    for least_sat, each in found.coins.by_size:
        yield _row(f"deep, from {least_sat:,} sat", each.coins, each.sat)
    yield from (_row(why, each.coins, each.sat) for why, each in found.coins.aside)


def _money(found: Report) -> Iterator[str]:
    yield from _section("capacity", "", "orders", "sat")
    capacity = found.capacity
    for name in ("sold", "total", "promised", "free", "available"):
        sat = getattr(capacity, f"{name}_sat")
        yield _row(name, "", "unknown" if sat is None else sat)
    yield from (_row(f"reserved, {each.firmness}", each.orders, each.value_sat) for each in capacity.reserved)
    yield from _section("refunds", "", "refunds", "sat", "cost")
    for each in found.refunds:
        yield _row(each.stands.replace("_", " "), each.refunds, each.amount_sat, f"{each.fee_sat:,}")


def _server(found: Report) -> Iterator[str]:
    yield from _section("server")
    queue = found.queue
    yield f"  {queue.waiting:,} tasks wait, the oldest for {_span(queue.oldest_seconds)}; {queue.running:,} run"
    for beat in found.heartbeats:
        yield f"  {beat.name} reported {_span(beat.age_seconds)} ago{' (stale)' if beat.is_stale else ''}"


def _funnel(funnel: Funnel) -> Iterator[str]:
    yield from _section("orders that were quoted", "", "orders", "of all")
    for step in Step:
        reached = funnel.reached(step)
        yield _row(step, reached, f"{100 * reached / funnel.quoted:.1f} %" if funnel.quoted else "")
    yield from _lost("lost after", funnel.lost)
    yield from _lost("under way after", funnel.under_way)


def _lost(title: str, found: Iterable[Lost]) -> Iterator[str]:
    yield from _section(title, "", "orders", "sat")
    yield from (_row(f"{each.after}: {each.why or 'waiting'}", each.orders, each.capacity_sat) for each in found)


def _openings(openings: Openings, waits: Waits) -> Iterator[str]:
    yield from _section("attempts to open")
    success = "" if openings.success is None else f", {100 * openings.success:.1f} % of those that are over succeeded"
    yield f"  {openings.begun:,} begun, {openings.confirmed:,} confirmed, {openings.under_way:,} under way{success}"
    yield from (_row(why, number) for why, number in openings.failures)
    yield from _section("from payment to usable")
    if waits.p50_seconds is None or waits.p95_seconds is None:
        yield "  no channel"
    else:
        yield f"  {waits.orders:,}: half in {_span(waits.p50_seconds)}, 95 in 100 in {_span(waits.p95_seconds)}"


def _sales(found: Report) -> Iterator[str]:
    yield from _section("channels closed", "", "closed", "early", "sat")
    yield from (_row(f"by {each.by}", each.closed, each.early, each.capacity_sat) for each in found.closings)
    yield from _section("days", "", "paid", "sat", "opened", "sat", "fees")
    for day in found.days:
        yield _row(str(day.day), day.paid, day.paid_sat, day.opened, day.opened_sat, day.fees_sat)
    yield from _section("months", "", "opened", "sat", "closed", "sat")
    for month in found.months:
        yield _row(f"{month.month:%Y-%m}", month.opened, month.opened_sat, month.closed, month.closed_sat)
    yield from _doors(found)
    yield from _coupons(found.coupons)


def _doors(found: Report) -> Iterator[str]:
    yield from _section("orders by door", "", "quoted", "paid", "sold", "sat", "fees")
    for door in found.doors:
        yield _row(str(door.door.label), door.quoted, door.paid, door.sold, door.sold_sat, door.fees_sat)
    if found.wallets:
        yield from _section("orders by wallet", "", "quoted", "paid", "sold", "sat", "fees")
    for each in found.wallets:
        yield _row(each.token, each.quoted, each.paid, each.sold, each.sold_sat, each.fees_sat)


def _coupons(found: Iterable[CouponSum]) -> Iterator[str]:
    """By their numbers, which the addresses of their pages have."""
    yield from _section("orders with coupons", "", "quoted", "used", "sold", "fees", "discount")
    for each in found:
        yield _row(f"coupon {each.coupon_id}", each.quoted, each.used, each.sold, each.fees_sat, each.discount_sat)


_EARNED: Final = (
    ("sale fees", "sale_fees_msat"),
    ("routing fees", "routing_msat"),
    ("fundings, and what put them out", "open_cost_msat"),
    ("children that paid for fundings", "bump_cost_msat"),
    ("closes and sweeps", "close_cost_msat"),
    ("sending refunds", "refund_cost_msat"),
    ("of that, borne by buyers", "refund_borne_msat"),
    ("losses", "losses_msat"),
    ("capital", "capital_cost_msat"),
    ("profit", "profit_msat"),
)


def _earnings(earned: Earnings) -> Iterator[str]:
    yield from _section(f"what we earn, {earned.first} to {earned.last}", "", "sat", "of channels")
    for words, name in _EARNED:
        whole_msat, beside_msat = getattr(earned.total, name), getattr(earned.beside, name)
        yield _row(words, _sat(whole_msat), _sat(whole_msat - beside_msat))
    yield _row("a year, on the capital bound", _percent(earned.total.yearly_ppm))
    yield from _channels("the best channels", earned.best)
    yield from _channels("the worst channels", earned.worst)
    if earned.alike:
        yield from _section("channels that have earned the same", "", "each")
        yield _row(f"{earned.alike:,} of {earned.channels:,}", _sat(earned.alike_msat))


def _channels(title: str, listed: Sequence[ChannelEarned]) -> Iterator[str]:
    if listed:
        yield from _section(title, "", "profit", "a year")
    for each in listed:
        named = f"{short(each.order_id)} {each.short_channel_id}"
        yield _row(named, _sat(each.parts.profit_msat), _percent(each.parts.yearly_ppm))


def _by_day(found: Report) -> Iterator[str]:
    yield from _section("stock at the end of a day", "", "sold", "free", "promised", "available")
    for day in found.stock:
        known = (day.free_sat, day.promised_sat, day.available_sat)
        yield _row(str(day.day), day.sold_sat, *("unknown" if sat is None else sat for sat in known))
    yield from _section("uptime", "", "of 1,000")
    for name in sorted({each.name for each in found.uptime}):
        days = [each for each in found.uptime if each.name == name]
        counted = sum(each.counted_seconds for each in days)
        yield _row(name, 1000 * sum(each.up_seconds for each in days) // counted if counted else "")


def _sat(msat: int) -> str:
    sat, rest = divmod(abs(msat), 1000)
    return f"{'-' if msat < 0 else ''}{sat:,}{f'.{rest:03}' if rest else ''}"


def _percent(ppm: int | None) -> str:
    return "" if ppm is None else f"{ppm / 10_000:,.2f} %"


def _section(title: str, *columns: str) -> Iterator[str]:
    yield ""
    yield (f"{title:<34}" + "".join(f"{column:>15}" for column in columns[1:])).rstrip()


def _row(name: str, *columns: int | str) -> str:
    cells = (f"{column:,}" if isinstance(column, int) else column for column in columns)
    return (f"  {name:<32}" + "".join(f"{cell:>15}" for cell in cells)).rstrip()


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7_200:
        return f"{seconds // 60} min"
    return f"{seconds // 3_600} h" if seconds < 172_800 else f"{seconds // 86_400} d"


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
