"""How much of the processor's time each part of the server takes. What waits, or what others do, does not count."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def seconds(parts: Mapping[str, int]) -> dict[str, float]:
    """Each part's processor time so far: that of the process and of all that descend from it.

    Empty where the system does not tell (it needs Linux's /proc).
    """
    known = _processes()
    if not known:
        return {}
    children = _children(known)
    return {part: _of(pid, known, children) / _TICKS_PER_SECOND for part, pid in parts.items()}


def memory_bytes(parts: Mapping[str, int]) -> dict[str, int]:
    """Each part's memory: that of the process and of all that descend from it; what some share is divided among them.

    Empty where the system does not tell.
    """
    children = _children(_processes())
    return {part: sum(map(_shared_out, _family(pid, children))) for part, pid in parts.items()} if children else {}


def _children(known: Mapping[int, tuple[int, int]]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in known.items():
        children.setdefault(parent, []).append(pid)
    return children


def _family(pid: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _family(child, children)


def _shared_out(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each part took between two looks."""
    return {part: after[part] - before.get(part, 0.0) for part in after}


def _of(pid: int, known: Mapping[int, tuple[int, int]], children: Mapping[int, list[int]]) -> int:
    own = known[pid][1] if pid in known else 0
    return own + sum(_of(child, known, children) for child in children.get(pid, ()))


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and ticks of every process; the ticks of its children that have ended are among its own."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        found[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    return found
