"""How long buyers waited, to three in a hundred: so that halves of a million are found in few numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

#: From seconds (a simulated chain) to the days that three blocks may take: a block is some ten minutes.
BUCKETS_SECONDS: Final = (
    60,
    300,
    600,
    1_200,
    1_800,
    2_700,
    3_600,
    5_400,
    7_200,
    10_800,
    21_600,
    43_200,
    86_400,
    259_200,
)
#: How long a buyer waited, from the payment that counts to a usable channel.
SECONDS: Final = "greatest(0, floor(extract(epoch FROM opened_at - paid_at)))::bigint"

_EXACT_SECONDS: Final = 64
#: Nobody waits for longer than sixty years.
_OCTAVES: Final = 25


def _cells() -> Iterator[int]:
    yield from range(_EXACT_SECONDS)
    for octave in range(_OCTAVES):
        step = 2 << octave
        yield from range(_EXACT_SECONDS << octave, _EXACT_SECONDS << octave + 1, step)
    yield from (bound + 1 for bound in BUCKETS_SECONDS)  # no cell is in two buckets


#: Where each cell begins: every second up to a minute, then 32 from each to its double.
CELLS: Final = tuple(sorted(set(_cells())))


def cell(seconds: int) -> int:
    """The beginning of the cell that a wait is in: as long, or shorter by no more than one in 32."""
    return CELLS[bisect_right(CELLS, seconds) - 1]


def percentile(counts: Iterable[tuple[int, int]], percent: int) -> int | None:
    """Of (cell, how many), the least wait that so many in a hundred did not exceed; None where there is none."""
    found = sorted(counts)
    sums = list(accumulate(number for _, number in found))
    if not sums:
        return None
    return next(wait for (wait, _), so_far in zip(found, sums, strict=True) if so_far * 100 >= percent * sums[-1])
