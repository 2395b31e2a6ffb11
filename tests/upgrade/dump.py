"""A shop of an earlier version, as it was written down: its database, its node, its keys."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.world import Beginning, World
from tests.upgrade import world

#: The oldest version that an upgrade is tested from, named by its last migration of orders.
OLDEST = Path(__file__).with_name("shop-0005")


@dataclass(frozen=True)
class Dump:
    """What stands in one folder."""

    database: str
    node: Any
    #: When the server was stopped, in Unix seconds. All that is compared with a clock is moved from there to now.
    at: float
    preimage_key: str
    secret_key: str
    orders: dict[str, str]  # ids, by nickname
    repeated: dict[str, Any]  # the request with an idempotency key, and the nickname of the order that it made

    @classmethod
    def read(cls, folder: Path) -> Dump:
        shop = json.loads((folder / "shop.json").read_text())
        return cls(
            database=gzip.decompress((folder / "database.sql.gz").read_bytes()).decode(),
            node=json.loads(gzip.decompress((folder / "node.json.gz").read_bytes())),
            at=shop["at"],
            preimage_key=shop["preimage_key"],
            secret_key=shop["secret_key"],
            orders=shop["orders"],
            repeated=shop["repeated"],
        )

    def place_node(self, home: Path, *, later_seconds: int) -> None:
        """The folder has the node's state, as the simulator of today keeps it: started there, it goes on from it."""
        home.mkdir(parents=True)
        today = World(home, Beginning(coins=0))
        today.kept = world.kept(self.node, later_seconds=later_seconds)
        today.save()
