"""What many ask for, and is the same for all of them: it is made once, and told for some seconds.

For what is told to strangers and binds nobody: how often they ask is theirs to say. Whoever acts reads anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """An answer to each of a few keys. It is lent to many at a time: nobody may change it."""

    def __init__(self, make: Callable[[Key], Value], *, seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = Lock()
        self._known: dict[Key, tuple[float, Value]] = {}

    def of(self, key: Key) -> Value:
        """The answer, of so many seconds ago at most. Who asks while it is made waits for it.

        Raises: what making it raises; then nothing is kept.
        """
        found = self._fresh(key)
        if found is None:
            with self._lock:
                found = self._fresh(key) or self._made(key)
        return found[1]

    def _fresh(self, key: Key) -> tuple[float, Value] | None:
        found = self._known.get(key)
        return found if found is not None and monotonic() - found[0] <= self._seconds else None

    def _made(self, key: Key) -> tuple[float, Value]:
        """As old as the moment at which it was begun."""
        self._known[key] = made = (monotonic(), self._make(key))
        return made

    def forget(self) -> None:
        """Nothing is known: the next who asks is told anew."""
        with self._lock:
            self._known.clear()
