"""Who listens to what: nothing is kept for somebody who was not there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLOCKS = "blocks"
TRANSACTIONS = "transactions"
CHANNELS = "channels"
PEERS = "peers"
MESSAGES = "messages"


def invoice(payment_hash: str) -> str:
    """The topic of one invoice."""
    return f"invoice/{payment_hash}"


class Events:
    """Messages by topic."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, list[asyncio.Queue[Any]]] = defaultdict(list)

    def is_heard(self, topic: str) -> bool:
        """Somebody listens."""
        return topic in self._listeners

    def say(self, topic: str, message: Any) -> None:
        """All who listen now will read it."""
        for queue in self._listeners.get(topic, ()):
            queue.put_nowait(message)

    @contextmanager
    def listening(self, topic: str) -> Iterator[asyncio.Queue[Any]]:
        """A queue of what is said from now on."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners[topic].append(queue)
        try:
            yield queue
        finally:
            self._listeners[topic].remove(queue)
            if not self._listeners[topic]:
                del self._listeners[topic]
