"""What can be paid with coins of these sizes, and what that costs: the wallet's shape, not only its sum. Pure.

LND takes the biggest coins first, and so do we: how many of them a transaction needs follows from their sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

#: Weight units: a transaction that pays a channel and has change, each as heavy as they get; an output, as heavy as it
#: gets; an input of a native coin with its signature.
FRAME_WEIGHT: Final = 4 * (11 + 43 + 43) + 2
OUTPUT_WEIGHT: Final = 4 * 43
INPUT_WEIGHT: Final = 4 * 41 + 109


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction as it would be made now."""

    pays_sat: int
    inputs: int
    vbytes: int
    fee_sat: int


def draft(coins_sat: Iterable[int], *, wanted_sat: int, sat_per_kw: int) -> Draft | None:
    """Of the biggest of these coins, as few as pay what is wanted and the fee; None where all of them do not."""
    short_sat, weight = wanted_sat + fee_sat(FRAME_WEIGHT, sat_per_kw), FRAME_WEIGHT
    worth_sat = fee_sat(INPUT_WEIGHT, sat_per_kw)
    for count, coin_sat in enumerate(sorted(coins_sat, reverse=True), 1):
        if coin_sat <= worth_sat:
            return None  # it costs what it brings, and so do all that are smaller
        short_sat -= coin_sat - worth_sat
        weight += INPUT_WEIGHT
        if short_sat <= 0:
            return Draft(wanted_sat, count, -(-weight // 4), fee_sat(weight, sat_per_kw))
    return None


def channels(coins_sat: Iterable[int], *, wanted_sat: int, sat_per_kw: int, most_inputs: int, up_to: int) -> int:
    """How many channels of this size these coins fund beside each other, without waiting for change.

    Each of so many coins at most; more than `up_to` are not counted.
    """
    left = sorted(coins_sat, reverse=True)
    for count in range(up_to):
        made = draft(left, wanted_sat=wanted_sat, sat_per_kw=sat_per_kw)
        if made is None or made.inputs > most_inputs:
            return count
        left = left[made.inputs :]
    return up_to


def without(coins_sat: Iterable[int], taken_sat: int) -> list[int]:
    """The coins that are left once so much was paid with the biggest of them; change is a coin again."""
    left = sorted(coins_sat, reverse=True)
    while left and taken_sat > 0:
        biggest_sat = left.pop(0)
        taken_sat -= biggest_sat
    return sorted([*left, -taken_sat], reverse=True) if taken_sat < 0 else left


def most_sat(coins_sat: Iterable[int], *, sat_per_kw: int, allows: Callable[[Draft], bool], up_to_sat: int) -> int:
    """The largest channel, up to this size, that these coins pay for in a transaction that is allowed; 0: none."""
    coins = sorted(coins_sat, reverse=True)
    least, most = 0, up_to_sat
    while least < most:  # more is never cheaper
        middle = (least + most + 1) // 2
        made = draft(coins, wanted_sat=middle, sat_per_kw=sat_per_kw)
        least, most = (middle, most) if made is not None and allows(made) else (least, middle - 1)
    return least


def fee_sat(weight: int, sat_per_kw: int) -> int:
    """What a transaction of this weight pays, rounded up."""
    return -(-weight * sat_per_kw // 1000)
