"""Whether a transaction's fee brings it into a block: pure. The reasons: docs/design/admission.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paid:
    """A transaction in no block: its room, and its fee."""

    weight: int
    fee_sat: int

    def surplus_sat(self, sat_per_kw: int) -> int:
        """What its fee is above that of its room at this rate; below 0 what it is short of."""
        return self.fee_sat + -(sat_per_kw * self.weight) // 1000

    def pays_above(self, satvbyte: int) -> bool:
        """Its fee is more than so much for each of its vbytes, of four units of weight."""
        return self.fee_sat * 4 > satvbyte * self.weight


@dataclass(frozen=True, slots=True)
class Package:
    """A transaction in no block, and all that must be in one before it."""

    itself: Paid
    ancestors: tuple[Paid, ...] = ()

    def pays(self, sat_per_kw: int) -> bool:
        """It pays this rate for itself, and for whatever its ancestors are short of.

        What they pay too much helps nobody but themselves: they may be mined without it.
        """
        return self.itself.surplus_sat(sat_per_kw) >= _short_sat(self.ancestors, sat_per_kw)

    def is_sure(self, *, above_satvbyte: int, sat_per_kw: int) -> bool:
        """All its coins are in blocks, and it pays more than was asked for, and no less than is asked for today."""
        pays = self.itself.pays_above(above_satvbyte) and self.itself.surplus_sat(sat_per_kw) >= 0
        return pays and not self.ancestors


def _short_sat(ancestors: Iterable[Paid], sat_per_kw: int) -> int:
    return sum(max(0, -each.surplus_sat(sat_per_kw)) for each in ancestors)
