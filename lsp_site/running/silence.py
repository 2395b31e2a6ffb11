"""Which program has to be replaced: each lane of each is judged by its own heartbeat. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WORKER: Final = "worker"
STREAMS: Final = "streams"

#: What each program reports for itself. A lane that hangs says nothing, while the rest of its process goes on.
_REPORTS: Final = {WORKER: ("reconcile",), STREAMS: ("streams", "looks")}
#: The lane that either has, and what it says where the worker has it.
_OPENINGS: Final = "openings"
_BY_WORKER: Final = "by=worker"


@dataclass(frozen=True, slots=True)
class Beat:
    """What somebody reported last."""

    at: datetime
    detail: str = ""


def reports_of(program: str, beats: Mapping[str, Beat]) -> tuple[str, ...]:
    """The heartbeats that this program has to give, as things stand."""
    openings = beats.get(_OPENINGS)
    if openings is None:
        return _REPORTS[program]
    holder = WORKER if openings.detail.startswith(_BY_WORKER) else STREAMS
    return (*_REPORTS[program], _OPENINGS) if holder == program else _REPORTS[program]


def silent(
    program: str, beats: Mapping[str, Beat], *, running_seconds: float, now: datetime, stale_seconds: int
) -> list[str]:
    """Which of its heartbeats the program has not given, though it had time to since its start."""
    missing = (name for name in reports_of(program, beats) if is_stale(beats.get(name), now, stale_seconds))
    return list(missing) if running_seconds > stale_seconds else []


def is_stale(beat: Beat | None, now: datetime, stale_seconds: int) -> bool:
    """Nobody has reported that for so long, or ever."""
    return beat is None or (now - beat.at).total_seconds() > stale_seconds
