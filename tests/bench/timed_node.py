"""The node with a clock beside it."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.node import LndNode

SENT = "bench: OpenChannel sent"


class TimedNode(LndNode):
    """In the server's streams process: writes one line to stderr just before each OpenChannel."""

    def open_channel(self, **kwargs: Any) -> Any:
        print(f"{SENT} {kwargs['memo']} {time.time():.6f}", file=sys.stderr, flush=True)
        return super().open_channel(**kwargs)


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


def sent_at(log: str, order_id: str) -> float:
    """When the order's channel was first asked for, by the log. Raises: LookupError."""
    for line in log.splitlines():
        if line.startswith(f"{SENT} {order_id} "):
            return float(line.rpartition(" ")[2])
    raise LookupError(f"no channel was asked for by order {order_id}")
