"""Blocks as a measure of time: pure. No framework, no I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

#: What the chain aims at, and what everybody reckons with.
SECONDS: Final = 600
WEEK: Final = 7 * 24 * 3600 // SECONDS


def lasting(count: int) -> timedelta:
    """How long so many blocks take, as everybody reckons."""
    return timedelta(seconds=count * SECONDS)
