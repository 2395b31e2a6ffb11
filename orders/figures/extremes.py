"""How many of the best and of the worst are told: nothing is both, and of what is alike nothing is either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extremes:
    """So many of the best and of the worst. `alike`: how many between them have come to the same, and to how much."""

    best: int
    worst: int
    alike: int = 0
    alike_msat: int = 0


def told_apart(best_msat: Sequence[int], worst_msat: Sequence[int], count: int) -> Extremes:
    """Of `count` in all. The lists are as long as each other: the most first, the least first.

    Where the last of both have come to the same, so has everything between them.
    """
    half = min(len(best_msat), count // 2)
    if not half or best_msat[half - 1] != worst_msat[half - 1]:
        return Extremes(half, half)
    same = best_msat[half - 1]
    best, worst = (sum(msat != same for msat in each[:half]) for each in (best_msat, worst_msat))
    return Extremes(best, worst, count - best - worst, same)
