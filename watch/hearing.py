"""Who hears of what, and when: mutes and quiet hours. Rules alone; nothing is sent or read here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from orders.causes import FlagKind
from orders.flags import ENDS
from orders.models import AlertMute, AlertRules

CHECK: Final = "check:"
FLAG: Final = "flag:"
#: What money is lost by: no state of an order ends such a flag (that of a funding which was lost ends when somebody has
#: decided about the price), and books that do not add up are found by nobody else.
LOSSES: Final = frozenset(
    {f"{FLAG}{kind}" for kind, ends in ENDS.items() if not ends} | {f"{FLAG}{FlagKind.DOUBLE_SPENT}", f"{CHECK}books"}
)

#: How long a mute may last; and one that a loss is among.
LONGEST: Final = timedelta(days=30)
LONGEST_OF_LOSSES: Final = timedelta(days=1)


def covers(muted: str, kind: str) -> bool:
    """What is muted is this kind, or all, or all checks, or all flags."""
    return muted in {"", kind} or (muted in {CHECK, FLAG} and kind.startswith(muted))


def longest(muted: str) -> timedelta:
    """Nobody silences a loss for long."""
    return LONGEST_OF_LOSSES if any(covers(muted, kind) for kind in LOSSES) else LONGEST


def is_muted(kind: str, channel: str, mutes: Iterable[AlertMute]) -> bool:
    """One of these mutes, which stand, keeps it from the channel."""
    return any(covers(mute.kind, kind) and mute.channel in {"", channel} for mute in mutes)


def is_quiet(rules: AlertRules | None, now: datetime) -> bool:
    """Nobody wants to hear of anything but losses. The hours may go past midnight."""
    if rules is None or rules.quiet_from is None or rules.quiet_until is None:
        return False
    return _is_between(rules.quiet_from, rules.quiet_until, now.astimezone(ZoneInfo(rules.zone)).time())


def _is_between(begins: time, ends: time, at: time) -> bool:
    return begins <= at < ends if begins <= ends else at >= begins or at < ends


def is_told(kind: str, channel: str, mutes: Iterable[AlertMute], *, quiet: bool) -> bool:
    """It goes to this channel now. Losses wait for no morning."""
    return not is_muted(kind, channel, mutes) and (not quiet or kind in LOSSES)


def named(kind: str) -> str:
    """For people."""
    if kind in {"", CHECK, FLAG}:
        return {"": "all alerts", CHECK: "all checks", FLAG: "all flags"}[kind]
    what, _, name = kind.partition(":")
    label = FlagKind(name).label if what == "flag" and name in FlagKind.values else name.replace("_", " ")
    return f"{what}: {label}"
