"""v1 counts the time of a channel in weeks, we in blocks."""

from __future__ import annotations

from orders import blocks


def in_blocks(weeks: int) -> int:
    """As many blocks as these weeks have."""
    return weeks * blocks.WEEK


def whole(count: int) -> int:
    """The weeks that so many blocks cover: what is left over is not told, so no more is promised than there is."""
    return count // blocks.WEEK


def begun(count: int) -> int:
    """The fewest weeks that have so many blocks: less is not on offer."""
    return -(-count // blocks.WEEK)
