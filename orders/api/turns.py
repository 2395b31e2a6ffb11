"""Who may wait for the node: of a process's requests so many at once, so that the others are answered meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from orders.errors import NodeBusy

#: In each process. The server has threads besides these (lsp_site.serving).
AT_ONCE: Final = 4

_turns = BoundedSemaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """What is done inside may wait for the node. Raises: NodeBusy, at once, when as many as may do so already."""
    if not _turns.acquire(blocking=False):
        raise NodeBusy("Our node is slow to answer now; please try again later.")
    try:
        yield
    finally:
        _turns.release()
