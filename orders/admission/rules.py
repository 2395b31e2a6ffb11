"""Who gives way to whom: pure. The reasons: docs/design/admission.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody has been promised and may lose."""

    order_id: UUID
    client_hash: str
    node_pubkey: str
    value_sat: int
    since: datetime
    until: datetime

    def is_over(self, now: datetime) -> bool:
        """It has had its time: it gives way to its equals."""
        return self.until <= now

    def weight(self, now: datetime) -> int:
        """Value × time, in satoshis × seconds."""
        return self.value_sat * max(0, int((now - self.since).total_seconds()))

    @property
    def holders(self) -> tuple[tuple[str, str], ...]:
        """Who it is counted with; where nothing is known of its buyer it is counted by itself."""
        known = [("client", self.client_hash), ("node", self.node_pubkey)]
        return (*((kind, name) for kind, name in known if name), ("order", str(self.order_id)))


#: Of all that can be sold: so much at most is kept for deposits in no block, since each of them can be replaced yet.
MOST_COMING_PERCENT: Final = 50


def may_come(value_sat: int, *, coming_sat: int, total_sat: int) -> bool:
    """Coins may be kept for a deposit in no block, besides those that are kept for others like it."""
    return (coming_sat + value_sat) * 100 <= total_sat * MOST_COMING_PERCENT


#: Who asks for so many times less takes from who is within his time: few large payments keep no small one out.
MUCH_LARGER: Final = 2


def who_goes(
    claims: Iterable[Claim], needed_sat: int, now: datetime, *, only_over: bool, asked_sat: int | None = None
) -> list[Claim]:
    """Those that go so that so much is free; fewer where all of them do not suffice.

    `only_over`: for who is not reached himself; `asked_sat`: where he has paid for so much, who is within his time goes
    for him too, if he holds much more, the largest first. First those whose time is over; of these the oldest of the
    largest holder, again and again.
    """
    over: list[Claim] = []
    within: list[Claim] = []
    for claim in claims:
        (over if claim.is_over(now) else within).append(claim)
    going: list[Claim] = []
    needed_sat -= _take(over, needed_sat, now, going)
    if not only_over:
        _take(within, needed_sat, now, going)
    elif asked_sat is not None:
        _take_largest([each for each in within if each.value_sat >= MUCH_LARGER * asked_sat], needed_sat, going)
    return going


def _take_largest(group: Iterable[Claim], needed_sat: int, going: list[Claim]) -> None:
    for claim in sorted(group, key=lambda each: (-each.value_sat, each.since, each.order_id)):
        if needed_sat <= 0:
            return
        going.append(claim)
        needed_sat -= claim.value_sat


def _take(group: Sequence[Claim], needed_sat: int, now: datetime, going: list[Claim]) -> int:
    """Adds to `going`; returns how much that frees."""
    left, freed_sat = list(group), 0
    weights: dict[tuple[str, str], int] = defaultdict(int)
    for claim in left:
        for holder in claim.holders:
            weights[holder] += claim.weight(now)
    while left and freed_sat < needed_sat:
        first = min(left, key=lambda each: (-max(weights[h] for h in each.holders), each.since, each.order_id))
        left.remove(first)
        for holder in first.holders:
            weights[holder] -= first.weight(now)
        going.append(first)
        freed_sat += first.value_sat
    return freed_sat


def quotes_that_go(quotes: Iterable[Claim], count: int, now: datetime, *, patience_seconds: int) -> list[Claim]:
    """So many quotes that end because there are too many: the older ones first, of the largest holder."""
    young: list[Claim] = []
    old: list[Claim] = []
    for quote in quotes:
        is_old = (now - quote.since).total_seconds() > patience_seconds
        (old if is_old else young).append(quote)
    going: list[Claim] = []
    for group in (old, young):
        left = list(group)
        while left and len(going) < count:
            _take(left, 1, now, going)
            left.remove(going[-1])
    return going
