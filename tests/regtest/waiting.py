"""Waiting for another program, with a limit and a name for what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Generous: two busy cores shared with other tests. A healthy network needs a fraction of it.
PATIENCE = 60.0


class NeverHappened(TimeoutError):
    """What was waited for did not come in time."""


def until(look: Callable[[], T], what: str, *, timeout: float = PATIENCE, pause: float = 0.05) -> T:
    """The first truthy answer of `look`.

    Raises: NeverHappened, naming `what`, after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {timeout:.0f} s: {what}")
        time.sleep(pause)
    return found
