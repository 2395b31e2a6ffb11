"""Numbers, times and reasons as a person reads them. No I/O."""

from __future__ import annotations

from datetime import datetime

from orders.figures import Unit


def count(number: int, one: str, many: str = "") -> str:
    """`1 refund`, `2,000 refunds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sat(amount: int) -> str:
    """`1,250,000 sat`."""
    return f"{amount:,} sat"


def lasting(seconds: int | None) -> str:
    """`45 s`, `12 min`, `3 h 5 min`, `4 d 2 h`; a dash where there is nothing to measure."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def part(share: float | None) -> str:
    """`97.5 %`; a dash where there is nothing to be a part of."""
    return "–" if share is None else f"{share * 100:.1f}".removesuffix(".0") + " %"


def why(reason: str) -> str:
    """A word of ours for why something ended, as words."""
    return reason.replace("_", " ").lower() if reason else "nothing yet"


def slot(at: datetime, unit: Unit) -> str:
    """Below the axis."""
    return {Unit.HOUR: f"{at:%H}:00", Unit.MONTH: f"{at:%b %Y}"}.get(unit, f"{at:%b} {at.day}")


def slot_whole(at: datetime, unit: Unit) -> str:
    """In the table, and where the pointer rests."""
    if unit is Unit.HOUR:
        return f"{at:%Y-%m-%d %H}:00 UTC"
    if unit is Unit.MONTH:
        return f"{at:%B %Y}"
    return f"week from {at:%Y-%m-%d}" if unit is Unit.WEEK else f"{at:%a %Y-%m-%d}"
