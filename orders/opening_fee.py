"""What a channel costs that opens while its first payment is on its way, how large it is, and from which parts of the
payment the fee is taken: integers in, integers out. No framework, no I/O.

Spec: bLIP-52. Amounts of payments and fees are millisatoshis, as there; sizes of channels are satoshis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Amounts are unsigned numbers of 64 bits, and so is whatever they are multiplied to on the way.
UINT64: Final = 2**64 - 1
_MILLION: Final = 1_000_000
#: The least that a part may be when the fee was taken from it: the default of every node's `htlc_minimum_msat`.
LEAST_PART_MSAT: Final = 1_000
#: What a wallet's node demands that we keep on our side (a reserve of 1,000 sat), with the fee of a commitment's HTLC.
KEPT_ON_OUR_SIDE_SAT: Final = 1_270


class Overflow(Exception):
    """The fee cannot be reckoned in 64 bits: the payment is too large."""


@dataclass(frozen=True, slots=True)
class Fee:
    """What the opening costs: a share of the payment, and never less than so much."""

    min_fee_msat: int
    proportional_ppm: int

    def of(self, payment_msat: int) -> int:
        """The fee of a payment of this size (msat), rounded up. Raises: Overflow."""
        share = _within(_within(payment_msat * self.proportional_ppm) + _MILLION - 1) // _MILLION
        return max(self.min_fee_msat, share)


def _within(value: int) -> int:
    if value > UINT64:
        raise Overflow
    return value


@dataclass(frozen=True, slots=True)
class Size:
    """How large the channel is beside its payment, and within what."""

    percent: int
    cushion_sat: int
    least_sat: int
    most_sat: int

    def channel_sat(self, payment_msat: int, fee_msat: int) -> int:
        """The channel's size in satoshis: so that what is left of the payment passes it, and there is room for more.

        It may be more than `most_sat`: then the payment is too large (`most_payment_msat`).
        """
        wanted = -(-payment_msat * self.percent // 100_000) + self.cushion_sat
        needed = -(-(payment_msat - fee_msat) // 1000) + KEPT_ON_OUR_SIDE_SAT
        return max(wanted, needed, self.least_sat)

    def most_payment_msat(self) -> int:
        """The largest payment whose channel is within `most_sat`, whatever its fee; 0 or less: there is none."""
        by_percent = (self.most_sat - self.cushion_sat) * 100_000 // self.percent
        return min(by_percent, (self.most_sat - KEPT_ON_OUR_SIDE_SAT) * 1000)


def shares(parts_msat: Sequence[int], fee_msat: int) -> list[int] | None:
    """What of the fee is taken from each part: all that it can bear from the first, the rest from the next, and so on.

    None: they cannot bear it together, as each has to be `LEAST_PART_MSAT` at least when it goes on.
    """
    left, taken = fee_msat, []
    for part_msat in parts_msat:
        taken.append(min(left, max(0, part_msat - LEAST_PART_MSAT)))
        left -= taken[-1]
    return None if left else taken
