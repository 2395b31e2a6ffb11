"""The node with a clock beside it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lightning.node import LndNode

SENT = "bench: OpenChannel sent"
ANSWERED = "bench: peer answered"


class TimedNode(LndNode):
    """In the server's streams process: writes one line to stderr just before each OpenChannel, and each answer."""

    def open_channel(self, **kwargs: Any) -> Any:
        print(f"{SENT} {kwargs['memo']} {time.time():.6f}", file=sys.stderr, flush=True)
        return super().open_channel(**kwargs)

    def begin_sending(self, pubkey: str, *, data: bytes, **kwargs: Any) -> Any:
        print(f"{ANSWERED} {json.loads(data)['id']} {time.time():.6f}", file=sys.stderr, flush=True)
        return super().begin_sending(pubkey, data=data, **kwargs)


class TimedCalls:
    """In our own process: adds up how long the node was waited for."""

    def __init__(self, node: LndNode) -> None:
        self._node = node
        self.seconds = 0.0
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._node, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begun
                self.calls += 1

        return timed


def answered_at(log: str) -> dict[str, float]:
    """When each request of a peer's was first answered, by its id, as far as the log goes in whole lines."""
    found: dict[str, float] = {}
    for line in log.splitlines(keepends=True):
        if line.startswith(f"{ANSWERED} ") and line.endswith("\n"):
            asked_by, at = line.removeprefix(ANSWERED).split()
            found.setdefault(asked_by, float(at))
    return found


def sent_at(log: str, order_id: str) -> float:
    """When the order's channel was first asked for, by the log. Raises: LookupError."""
    for line in log.splitlines():
        if line.startswith(f"{SENT} {order_id} "):
            return float(line.rpartition(" ")[2])
    raise LookupError(f"no channel was asked for by order {order_id}")
