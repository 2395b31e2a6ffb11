"""What waits for its turn: peer by peer, round and round, so that nobody stands behind another's many. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """Items of peers; each peer's in their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        #: Whose turn is next stands first.
        self._of: dict[str, deque[Item]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, peer: str, item: Item) -> tuple[str, Item] | None:
        """It waits. Where too many do, another gives way and is returned: the newest of who has most waiting."""
        self._of.setdefault(peer, deque()).append(item)
        self._count += 1
        return self._crowded_out() if self._count > self._most else None

    def _crowded_out(self) -> tuple[str, Item]:
        peer = max(reversed(self._of), key=lambda each: len(self._of[each]))  # among equals, who came last
        item = self._of[peer].pop()
        self._taken(peer)
        return peer, item

    def take(self) -> tuple[str, Item] | None:
        """The next, whose peer then stands behind all others."""
        peer = next(iter(self._of), None)
        if peer is None:
            return None
        item = self._of[peer].popleft()
        rest = self._of.pop(peer)
        self._count -= 1
        if rest:
            self._of[peer] = rest
        return peer, item

    def _taken(self, peer: str) -> None:
        self._count -= 1
        if not self._of[peer]:
            del self._of[peer]

    def clear(self) -> list[tuple[str, Item]]:
        """Nothing waits any more; what did is returned."""
        found = [(peer, item) for peer, items in self._of.items() for item in items]
        self._of.clear()
        self._count = 0
        return found
