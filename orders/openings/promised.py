"""How soon a funding is to be in a block. What was promised sets its fee, and when a child pays for both: pure.

Spec: bLIP-51, `funding_confirms_within_blocks`, which counts from the payment.
"""

from __future__ import annotations

from typing import Final

from orders import blocks

#: Whoever is in less of a hurry than a day is as one who has a day: until the funding is mined and deep, its change,
#: which may be most of our biggest coin, is nobody's.
_MOST_BLOCKS: Final = 144


def conf_target(within_blocks: int | None, *, waited_seconds: float, usual_blocks: int) -> int:
    """In so many blocks it should confirm: what is left of the promise; without one, as usual.

    Never sooner than usual, which is what every price has paid for: who named a node that was away for hours has used
    up the time himself.
    """
    if within_blocks is None:
        return usual_blocks
    left = within_blocks - int(waited_seconds // blocks.SECONDS)
    return max(usual_blocks, min(left, _MOST_BLOCKS))


def bump_after_seconds(within_blocks: int | None, *, usual_blocks: int, usual_seconds: int) -> int:
    """So long it may stay unmined before it gets a child: half of what was promised, or what its fee was for.

    Half a day at most.
    """
    if within_blocks is None:
        return usual_seconds
    return max(usual_blocks, min(within_blocks, _MOST_BLOCKS) // 2) * blocks.SECONDS
