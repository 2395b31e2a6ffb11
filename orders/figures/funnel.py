"""Of those who were told a price, who paid, named a node and got a channel; who did not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orders.figures import kinds
from orders.figures.period import Period
from orders.figures.tally import summed


class Step(StrEnum):
    """How far an order has come."""

    QUOTED = "quoted"
    PAID = "paid"
    CLAIMED = "claimed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Lost:
    """Orders that came to this step and no farther, and why."""

    after: Step
    why: str
    orders: int
    capacity_sat: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """The orders that were quoted in a period, as they stand now. Each step counts all that came to it."""

    quoted: int
    paid: int
    claimed: int
    open: int
    lost: tuple[Lost, ...]
    #: Not over yet. Why: what the next attempt waits for, or nothing.
    under_way: tuple[Lost, ...]

    def reached(self, step: Step) -> int:
        """How many came to this step."""
        return {Step.QUOTED: self.quoted, Step.PAID: self.paid, Step.CLAIMED: self.claimed, Step.OPEN: self.open}[step]


def funnel(period: Period) -> Funnel:
    """How far the orders of the period came."""
    told = [(Lost(Step(step), why, *sums), bool(lost)) for _, (step, lost, why), sums in summed(kinds.FUNNEL, period)]
    found = sorted(told, key=lambda each: (-each[0].orders, each[0].after, each[0].why))
    come = {step: sum(each.orders for each, _ in found if each.after is step) for step in Step}
    opened = come[Step.OPEN]
    claimed = come[Step.CLAIMED] + opened
    paid = come[Step.PAID] + claimed
    return Funnel(
        quoted=come[Step.QUOTED] + paid,
        paid=paid,
        claimed=claimed,
        open=opened,
        lost=tuple(each for each, is_lost in found if is_lost),
        under_way=tuple(each for each, is_lost in found if not is_lost and each.after is not Step.OPEN),
    )
