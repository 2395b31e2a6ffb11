"""What is drawn over time: labels, series, units. The page has the same numbers in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orders.dashboard.words import slot, slot_whole
from orders.figures import Sold, Tried, Unit, Waited

BARS: Final = "bar"
LINES: Final = "line"

Value = int | float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each slot; None: there is none, which is not 0. `tone`: a colour of dashboard.css."""

    name: str
    tone: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture. `unit` is told with each value: `sat` and the like, or nothing for plain numbers."""

    name: str
    title: str
    kind: str
    axis: str
    unit: str
    labels: tuple[str, ...]
    whole: tuple[str, ...]
    series: tuple[Series, ...]
    stacked: bool = False
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Nothing to draw."""
        return not any(value for each in self.series for value in each.values)

    @property
    def drawn(self) -> dict[str, Any]:
        """As dashboard.js wants it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "axis": self.axis,
            "unit": self.unit,
            "labels": self.labels,
            "whole": self.whole,
            "stacked": self.stacked,
            "series": [{"name": each.name, "tone": each.tone, "values": each.values} for each in self.series],
        }

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The table behind it: a slot, and its value in each series. Slots of which nothing is known are left out."""
        by_slot = zip(*(each.values for each in self.series), strict=True)
        told = [(label, [_told(value) for value in values]) for label, values in zip(self.whole, by_slot, strict=True)]
        return [(label, values) for label, values in told if any(value not in {"–", "0"} for value in values)]

    @property
    def said(self) -> str:
        """In a sentence, for who does not see it."""
        kind = "Bars" if self.kind == BARS else "Lines"
        names = " and ".join(each.name for each in self.series)
        return f"{self.title}. {kind} of {names}, {self.axis}. Arrow keys read the values one by one."


def _told(value: Value) -> str:
    return "–" if value is None else f"{value:,.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Axis:
    """The slots of a period, for all its charts."""

    starts: Sequence[datetime]
    unit: Unit

    @property
    def labels(self) -> tuple[str, ...]:
        """Below the picture."""
        return tuple(slot(at, self.unit) for at in self.starts)

    @property
    def whole(self) -> tuple[str, ...]:
        """Where there is room."""
        return tuple(slot_whole(at, self.unit) for at in self.starts)

    def spread(self, rows: Sequence[Any], value: Callable[[Any], Value], missing: Value = None) -> tuple[Value, ...]:
        """The value of each slot; `missing` where there is no row for it."""
        found: dict[datetime, Value] = {row.at: value(row) for row in rows}
        return tuple(found.get(at, missing) for at in self.starts)


def sales(axis: Axis, sold: Sequence[Sold]) -> Chart:
    """Orders that were paid, and channels that became usable."""
    paid = Series("orders paid", "quiet", axis.spread(sold, lambda row: row.paid, 0))
    opened = Series("channels usable", "main", axis.spread(sold, lambda row: row.opened, 0))
    return chart("sales", "Sales", BARS, "how many", "", axis, paid, opened)


def fees(axis: Axis, sold: Sequence[Sold]) -> Chart:
    """Fees, earned with the channel."""
    earned = Series("fees", "good", axis.spread(sold, lambda row: row.fees_sat, 0))
    return chart("fees", "Fees earned", BARS, "satoshis", "sat", axis, earned)


def size(axis: Axis, sold: Sequence[Sold]) -> Chart:
    """The size of the channels that became usable."""
    opened = Series("capacity", "main", axis.spread(sold, lambda row: row.opened_sat, 0))
    return chart("size", "Capacity sold", BARS, "satoshis", "sat", axis, opened)


def waiting(axis: Axis, waited: Sequence[Waited]) -> Chart:
    """From the payment to a usable channel; none was, and there is a gap."""
    half = Series("p50", "main", axis.spread(waited, lambda row: _minutes(row.p50_seconds)))
    most = Series("p95", "warm", axis.spread(waited, lambda row: _minutes(row.p95_seconds)))
    return chart("waiting", "From payment to a usable channel", LINES, "minutes", "min", axis, half, most)


def attempts(axis: Axis, tried: Sequence[Tried]) -> Chart:
    """Attempts to open, by how they ended."""
    values: list[tuple[str, str, Callable[[Tried], int]]] = [
        ("confirmed", "good", lambda row: row.confirmed),
        ("under way", "quiet", lambda row: row.under_way),
        ("failed", "bad", lambda row: row.failed),
    ]
    drawn = [Series(name, tone, axis.spread(tried, value, 0)) for name, tone, value in values]
    return chart("attempts", "Attempts to open", BARS, "how many", "", axis, *drawn, stacked=True)


def _minutes(seconds: int) -> float:
    return round(seconds / 60, 1)


def chart(
    name: str, title: str, kind: str, axis_title: str, unit: str, axis: Axis, *series: Series, stacked: bool = False
) -> Chart:
    """With the labels of the axis."""
    return Chart(name, title, kind, axis_title, unit, axis.labels, axis.whole, series, stacked)
