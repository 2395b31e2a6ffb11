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
#: A node demands that we keep a hundredth of the channel on our side, and so much at least.
_RESERVE_PART: Final = 100
_LEAST_RESERVE_SAT: Final = 1_000
#: And who opens a channel pays for its commitment: LND keeps what that costs at twice the feerate (10 sat/vB at most,
#: of channels with anchors), with as many parts on their way, and the anchors.
COMMITMENT_SAT: Final = 17_000


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
        return max(wanted, _carries_sat(-(-(payment_msat - fee_msat) // 1000)), self.least_sat)

    def most_payment_msat(self) -> int:
        """The largest payment whose channel is within `most_sat`, whatever its fee; 0 or less: there is none."""
        by_percent = (self.most_sat - self.cushion_sat) * 100_000 // self.percent
        return min(by_percent, passes_sat(self.most_sat) * 1000)


def passes_sat(channel_sat: int) -> int:
    """What passes a channel of this size that is all ours, in as many parts as a payment has as a rule."""
    return channel_sat - max(_LEAST_RESERVE_SAT, -(-channel_sat // _RESERVE_PART)) - COMMITMENT_SAT


def _carries_sat(passed_sat: int) -> int:
    """The smallest channel that so much passes."""
    with_commitment = passed_sat + COMMITMENT_SAT
    return max(with_commitment + _LEAST_RESERVE_SAT, -(-with_commitment * _RESERVE_PART // (_RESERVE_PART - 1)))


def shares(parts_msat: Sequence[int], fee_msat: int) -> list[int] | None:
    """What of the fee is taken from each part: all that it can bear from the largest (the first of them), the rest from
    the next, and so on.

    Our node may pass a part on over an older channel with the same wallet, which may take less than was sent over the
    new one alone: the largest is the least likely to fit there.
    None: they cannot bear it together, as each has to be `LEAST_PART_MSAT` at least when it goes on.
    """
    left, taken = fee_msat, [0] * len(parts_msat)
    for at in sorted(range(len(parts_msat)), key=lambda each: -parts_msat[each]):
        taken[at] = min(left, max(0, parts_msat[at] - LEAST_PART_MSAT))
        left -= taken[at]
    return None if left else taken
