"""Where attackers and buyers meet: the shop, the addresses that are theirs, and what everybody can see."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from simulator.control import Control
from tests.attack.shop import Shop


@dataclass
class Ground:
    """One attack lasts until `ends_at` (of the monotonic clock)."""

    shop: Shop
    rng: random.Random
    addresses: int  # how many the attackers have, together
    ends_at: float = 0.0
    invoices: list[str] = field(default_factory=list)  # of honest buyers, for all to see
    _numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def control(self) -> Control:
        return self.shop.node.control

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    def number(self) -> int:
        """One that nobody else has."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    # Such as the server takes for somebody's own. Of those of private networks it counts no client.

    def attackers_address(self) -> str:
        """Any of those that the attackers have."""
        one = self.rng.randrange(self.addresses)
        return f"198.18.{one // 250}.{one % 250 + 1}"

    def buyers_address(self) -> str:
        """One that no attacker has."""
        one = self.number()
        return f"198.19.{one // 250}.{one % 250 + 1}"

    def customer(self, name: str, **behaviour: object) -> str:
        """A node with a name of its own; how it is to be claimed."""
        wanted = {"presence": "online", "pending_limit": 50} | behaviour
        found = self.control.change_customer(f"{name}-{self.number()}", **wanted)
        return f"{found.pubkey}@{found.host}"
