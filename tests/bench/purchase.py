"""One purchase taken apart: bought in this process, with nobody else at work."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any
from unittest.mock import patch

from django.db import connection
from django.test import Client

from tests.bench.figures import Purchase
from tests.bench.shop import REQUEST, Shop
from tests.bench.timed_node import TimedCalls
from tests.regtest.waiting import until


class _TimedStatements:
    """Adds up how long PostgreSQL was waited for; what opens and commits a transaction is not among the statements."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0

    def __call__(self, execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, given, many, context)
        finally:
            self.seconds += time.perf_counter() - begun
            self.count += 1


def measure(shop: Shop, runs: int) -> Purchase:
    """So many purchases were made, after one that is not counted: what was measured before may still be in work."""
    client = Client(SERVER_NAME="127.0.0.1")
    until(lambda: _post(client).status_code == 200, "somebody sells", timeout=30, pause=0.5)
    measured = [_buy(client, shop) for _ in range(runs)]
    whole, node, database = (median(each[part] for each in measured) for part in range(3))
    return Purchase(runs, whole, node, database, statements=measured[-1][3], calls=measured[-1][4])


def _post(client: Client) -> Any:
    return client.post("/channel/buy", json.dumps(REQUEST), content_type="application/json")


def _buy(client: Client, shop: Shop) -> tuple[float, float, float, int, int]:
    node, statements = TimedCalls(shop.node), _TimedStatements()
    with patch("lightning.connection.node", return_value=node), connection.execute_wrapper(statements):
        begun = time.perf_counter()
        answer = _post(client)
        whole = time.perf_counter() - begun
    if answer.status_code != 200:
        raise RuntimeError(f"POST /channel/buy answered {answer.status_code}: {answer.content[:300]!r}")
    return whole, node.seconds, statements.seconds, statements.count, node.calls
