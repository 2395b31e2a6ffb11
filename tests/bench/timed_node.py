"""The real node, in the server's streams process, which also says when each channel was asked for."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.node import LndNode

SENT = "bench: OpenChannel sent"


class TimedNode(LndNode):
    """Writes one line to stderr just before each OpenChannel."""

    def open_channel(self, **kwargs: Any) -> Any:
        print(f"{SENT} {kwargs['memo']} {time.time():.6f}", file=sys.stderr, flush=True)
        return super().open_channel(**kwargs)


def sent_at(log: str, order_id: str) -> float:
    """When the order's channel was first asked for, by the log. Raises: LookupError."""
    for line in log.splitlines():
        if line.startswith(f"{SENT} {order_id} "):
            return float(line.rpartition(" ")[2])
    raise LookupError(f"no channel was asked for by order {order_id}")
