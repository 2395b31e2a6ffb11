"""Charts of what is kept by the day: capacity, coins, signs of life, what was earned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final, Protocol

from orders.dashboard.charts import BARS, LINES, Axis, Chart, Series, Value, chart
from orders.figures import Period, Unit, slot_of, slots, unit_of


class Day(Protocol):
    """A row of one day of UTC."""

    @property
    def day(self) -> date:
        """Which."""
        ...


class StockDay(Day, Protocol):
    """How channels and coins stood at the day's end; None: not known."""

    @property
    def sold_sat(self) -> int:
        """In channels that stand."""
        ...

    @property
    def free_sat(self) -> int | None:
        """Nobody has to give way for it."""
        ...

    @property
    def promised_sat(self) -> int | None:
        """Paid for, and in no channel yet."""
        ...

    @property
    def reserved_sat(self) -> int:
        """For anybody, also for quotes."""
        ...

    @property
    def deep_sat(self) -> int | None:
        """Coins that fund channels."""
        ...

    @property
    def leased_sat(self) -> int | None:
        """Coins that an opening has taken."""
        ...

    @property
    def young_sat(self) -> int | None:
        """Coins that are not deep enough yet."""
        ...


class UptimeDay(Day, Protocol):
    """For how long something gave signs of life, of the time that it could have."""

    @property
    def name(self) -> str:
        """What."""
        ...

    @property
    def up_seconds(self) -> int:
        """With signs."""
        ...

    @property
    def counted_seconds(self) -> int:
        """In all."""
        ...


class EarnedDay(Day, Protocol):
    """What a day has brought."""

    @property
    def profit_msat(self) -> int:
        """Sale fees and routing fees, less all costs."""
        ...


def axis_of(period: Period) -> Axis:
    """Slots of a day at least."""
    unit = unit_of(period)
    unit = Unit.DAY if unit is Unit.HOUR else unit
    return Axis(slots(period, unit), unit)


def _by_slot(axis: Axis, days: Sequence[Any]) -> dict[datetime, list[Any]]:
    found: dict[datetime, list[Any]] = defaultdict(list)
    for row in days:
        found[slot_of(datetime.combine(row.day, time(), UTC), axis.unit)].append(row)
    return found


def _spread(axis: Axis, days: Sequence[Any], value: Callable[[list[Any]], Value]) -> tuple[Value, ...]:
    """Of the days of each slot; None where there is none."""
    found = _by_slot(axis, days)
    return tuple(value(found[at]) if at in found else None for at in axis.starts)


def _last(field: str) -> Callable[[list[Any]], Value]:
    return lambda days: getattr(days[-1], field)


def stock(axis: Axis, days: Sequence[StockDay]) -> Chart:
    """What is sold, free, promised and reserved, as it stood at the end of each slot."""
    lines = (
        ("in sold channels", "main", "sold_sat"),
        ("free", "good", "free_sat"),
        ("promised", "warm", "promised_sat"),
        ("reserved", "quiet", "reserved_sat"),
    )
    drawn = [Series(name, tone, _spread(axis, days, _last(field))) for name, tone, field in lines]
    return chart("stock-days", "Capacity over time", LINES, "satoshis", "sat", axis, *drawn)


def coins(axis: Axis, days: Sequence[StockDay]) -> Chart:
    """The wallet's coins, as they were at the end of each slot."""
    parts = (("deep", "main", "deep_sat"), ("leased", "warm", "leased_sat"), ("young", "quiet", "young_sat"))
    drawn = [Series(name, tone, _spread(axis, days, _last(field))) for name, tone, field in parts]
    return chart("coins-days", "Coins over time", BARS, "satoshis", "sat", axis, *drawn, stacked=True)


def earned(axis: Axis, days: Sequence[EarnedDay]) -> Chart:
    """What came of each slot: below zero where it has cost more than it brought."""
    profit = _spread(axis, days, lambda rows: round(sum(row.profit_msat for row in rows) / 1000))
    return chart("earned-days", "Profit", BARS, "satoshis", "sat", axis, Series("profit", "good", profit))


#: What is drawn of all that gives signs of life, in which words and colour.
_LIVES: Final = (("node", "node", "main"), ("reconcile", "worker", "good"), ("streams", "streams", "warm"))


def uptime(axis: Axis, days: Sequence[UptimeDay]) -> Chart:
    """Of the time that it could have, for how much each gave signs of life."""
    drawn = [
        Series(words, tone, _spread(axis, [row for row in days if row.name == name], _percent))
        for name, words, tone in _LIVES
    ]
    return chart("uptime-days", "Signs of life", LINES, "% of the time", "%", axis, *drawn)


def _percent(days: list[UptimeDay]) -> Value:
    counted = sum(row.counted_seconds for row in days)
    return sum(row.up_seconds for row in days) * 1000 // counted / 10 if counted else None
