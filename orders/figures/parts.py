"""What something has earned, part by part, and what that comes to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

YEAR_SECONDS: Final = 365 * 86_400
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Of a channel, a day, or all of them. Costs are positive."""

    sale_fees_msat: int = 0
    #: Of payments that others sent through it.
    routing_msat: int = 0
    #: Its fundings, and what put some of them out; of no order: coins that were split or consolidated.
    open_cost_msat: int = 0
    #: Children that paid for its fundings.
    bump_cost_msat: int = 0
    close_cost_msat: int = 0
    #: What sending refunds has cost, and what of that the buyers have borne: it was taken off what they got.
    refund_cost_msat: int = 0
    refund_borne_msat: int = 0
    #: Fees that were given back, channels that nobody paid for, corrections.
    losses_msat: int = 0
    #: Of our coins in channels: each for so long as it was there.
    bound_msat_seconds: int = 0
    #: What these have cost at `CAPITAL_COST_PPM` a year; rounded down, of each that is told for itself.
    capital_cost_msat: int = 0

    @property
    def booked_msat(self) -> int:
        """What of the profit is in the books."""
        return self.sale_fees_msat + self.refund_borne_msat - self.costs_msat

    @property
    def costs_msat(self) -> int:
        """All that it has cost, but for the capital."""
        chain_msat = self.open_cost_msat + self.bump_cost_msat + self.close_cost_msat + self.refund_cost_msat
        return chain_msat + self.losses_msat

    @property
    def profit_msat(self) -> int:
        """With what the books do not have: the routing fees, less what the capital has cost."""
        return self.booked_msat + self.routing_msat - self.capital_cost_msat

    @property
    def yearly_ppm(self) -> int | None:
        """The profit by the capital that it bound, a year, in millionths; None where it bound none."""
        if self.bound_msat_seconds <= 0:
            return None
        return self.profit_msat * _MILLION * YEAR_SECONDS // self.bound_msat_seconds

    def __add__(self, other: Parts) -> Self:
        """Part by part."""
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Parts)}
        return type(self)(**sums)

    def __sub__(self, other: Parts) -> Self:
        """Part by part."""
        rest = {each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(Parts)}
        return type(self)(**rest)


def capital_cost_msat(bound_msat_seconds: int, ppm: int) -> int:
    """What capital costs that was bound for so long, at so much a year; rounded down."""
    return bound_msat_seconds * ppm // (_MILLION * YEAR_SECONDS)
