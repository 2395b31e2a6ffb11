"""What many ask for, and is the same for all of them: it is made once, and told for some seconds.

For what is told to strangers and binds nobody: how often they ask is theirs to say. Whoever acts reads anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


#: While it is made anew others are told what is so many times as old as it may be: they wait for no slow database.
_MEANWHILE: Final = 4


class Kept(Generic[Key, Value]):
    """An answer to each of a few keys. It is lent to many at a time: nobody may change it."""

    def __init__(self, make: Callable[[Key], Value], *, seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = Lock()
        self._known: dict[Key, tuple[float, Value]] = {}

    def of(self, key: Key) -> Value:
        """The answer, of so many seconds ago at most, and four times as many while one of those who ask makes it anew.

        Raises: what making it raises; then nothing is kept of that.
        """
        found = self._younger_than(self._seconds, key)
        if found is None:
            older = self._younger_than(_MEANWHILE * self._seconds, key)
            found = self._anew(key, may_wait=older is None) or older
        assert found is not None  # who may wait has it made
        return found[1]

    def _younger_than(self, seconds: float, key: Key) -> tuple[float, Value] | None:
        found = self._known.get(key)
        return found if found is not None and monotonic() - found[0] <= seconds else None

    def _anew(self, key: Key, *, may_wait: bool) -> tuple[float, Value] | None:
        """None: somebody else is at it. It is as old as the moment at which it was begun."""
        if not self._lock.acquire(blocking=may_wait):
            return None
        try:
            if (found := self._younger_than(self._seconds, key)) is None:
                self._known[key] = found = (monotonic(), self._make(key))
            return found
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Nothing is known: the next who asks is told anew."""
        with self._lock:
            self._known.clear()
