"""Which processes the server consists of, and how one of them dies."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Word of the command line, by role.
ROLES: Final = {"web": "gunicorn", "worker": "qcluster", "streams": "run_streams"}


def kill_one(supervisor: int, role: str, rng: random.Random) -> bool:
    """One process of this role is gone without a word; the supervisor sees to it. False where there is none now."""
    candidates = [pid for pid in _below(supervisor) if ROLES[role] in _command(pid)]
    if not candidates:
        return False
    with suppress(ProcessLookupError):
        os.kill(rng.choice(candidates), signal.SIGKILL)
    return True


def _below(pid: int) -> Iterator[int]:
    """The process's descendants."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield int(child)
                yield from _below(int(child))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
