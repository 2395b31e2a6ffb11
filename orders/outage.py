"""Something that we need is away: that is known once, said once, and tried again until it is back."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import lru_cache
from typing import Final

from lightning.errors import LightningError
from lightning.node import LndNode

log = logging.getLogger(__name__)

#: An outage of the node is asked about no more seldom than that: orders wait for its end.
_LONGEST_SECONDS: Final = 5.0


class Outage:
    """One need, and whether it is met. Pauses between attempts double: 1 s, 2 s, … 15 s."""

    def __init__(
        self, log: logging.Logger, what: str, *, first_seconds: float = 1.0, longest_seconds: float = 15.0
    ) -> None:
        self._log = log
        self._what = what
        self._first_seconds = self._next_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._saying = threading.Lock()
        self.is_on = False

    def begun(self, problem: BaseException) -> None:
        """It is away. Repeat: safe, only the first time is worth a line."""
        with self._saying:
            was_on, self.is_on = self.is_on, True
        if not was_on:
            self._log.warning("%s cannot be used, trying again until it can: %s", self._what, problem)

    def pause_seconds(self) -> float:
        """How long to wait before the next attempt."""
        pause = self._next_seconds
        self._next_seconds = min(pause * 2, self._longest_seconds)
        return pause

    def over(self) -> bool:
        """It is there, and was used; whether that is news. What is said then is its user's to say."""
        with self._saying:
            was_on, self.is_on = self.is_on, False
        self._next_seconds = self._first_seconds
        return was_on


class NodeOutage:
    """Whether the node is away, for all threads of one process: no order has to find it out for itself.

    Away is what does not say that it answers. A call that fails while the node answers that is the call's own trouble.
    """

    def __init__(self) -> None:
        self._outage = Outage(log, "the node", longest_seconds=_LONGEST_SECONDS)
        self._asking = threading.Lock()
        self._ask_at = 0.0

    @property
    def is_on(self) -> bool:
        """The node was away when it was last asked."""
        return self._outage.is_on

    def explains(self, node: LndNode) -> bool:
        """A call has failed because the node is away, and not for a reason of its own."""
        return self.lasts(node) if self.is_on else not self._answers(node)

    def lasts(self, node: LndNode) -> bool:
        """The node is still away. Asked anew when it is time, by one thread; without an outage it is not asked."""
        if not self.is_on:
            return False
        if time.monotonic() < self._ask_at or not self._asking.acquire(blocking=False):
            return True
        try:
            return not self._answers(node)
        finally:
            self._asking.release()

    def over(self) -> None:
        """The node has answered."""
        if self._outage.over():
            log.info("the node is back: whatever is due is looked at")

    def _answers(self, node: LndNode) -> bool:
        try:
            node.require_active()
            node.newest_add_index()  # it answers us, too: a macaroon may have been revoked
        except LightningError as problem:
            self._outage.begun(problem)
            self._ask_at = time.monotonic() + self._outage.pause_seconds()
            return False
        self.over()
        return True


def of_node() -> NodeOutage:
    """What this process knows."""
    return _of_node(os.getpid())


@lru_cache(maxsize=1)  # a fork finds out for itself
def _of_node(_process: int) -> NodeOutage:
    return NodeOutage()
