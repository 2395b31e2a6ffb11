"""One of our processes: it advances one order until it is told not to, and may be killed at any step."""

from __future__ import annotations

import sys
import time
from uuid import UUID

import django


def main() -> None:
    django.setup()
    from orders.advance import advance  # after the setup: it imports models

    order_id = UUID(sys.argv[1])
    print("ready", flush=True)
    for _ in range(200):
        advance(order_id)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
