"""What a deed would do to many orders: counted in orders and satoshis, and what it leaves alone, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orders.admin.deeds import Deed
from orders.admin.discretion import order_page
from orders.models import ChannelOrder


@dataclass(frozen=True, slots=True)
class Counted:
    """So many orders of which the same becomes, and their money."""

    words: str
    orders: int
    sat: int


@dataclass(frozen=True, slots=True)
class One:
    """One order that the deed fits: what becomes of its money, and how much that is."""

    order: ChannelOrder
    page: str
    told: str
    sat: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """One that it does not fit, and why."""

    order: ChannelOrder
    why: str


@dataclass(frozen=True, slots=True)
class Preview:
    """All of them. `left_over`: chosen besides, and more than one request does."""

    fitting: list[One]
    skipped: list[Skipped]
    counted: list[Counted]
    reasons: list[Counted]
    left_over: int = 0

    @property
    def sat(self) -> int:
        """The money of those that it fits."""
        return sum(each.sat for each in self.fitting)


def of(deed: Deed, orders: Iterable[ChannelOrder], typed: str, *, left_over: int = 0) -> Preview:
    """The deed before it is done, for orders that were loaded with their details."""
    fitting, skipped = [], []
    for order in orders:
        if deed.fits(order):
            told = deed.money(order, typed) if deed.money else ""
            fitting.append(One(order, order_page(order.pk), told, deed.at_stake_sat(order)))
        else:
            skipped.append(Skipped(order, deed.why_not(order) if deed.why_not else ""))
    ways = ((deed.way(each.order) if deed.way else deed.label, each.sat) for each in fitting)
    whys = ((each.why or f"{each.order.get_state_display()}: it does not fit", 0) for each in skipped)
    return Preview(fitting, skipped, list(_counted(ways)), list(_counted(whys)), left_over)


def _counted(rows: Iterable[tuple[str, int]]) -> Iterator[Counted]:
    """The most first."""
    found: dict[str, list[int]] = defaultdict(list)
    for words, sat in rows:
        found[words].append(sat)
    for words, amounts in sorted(found.items(), key=lambda each: -len(each[1])):
        yield Counted(words, len(amounts), sum(amounts))
