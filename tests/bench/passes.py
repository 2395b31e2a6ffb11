"""One pass of reconcile, with a hundred orders in work among few and among many at rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

from django.utils import timezone

from lightning.node import LndNode
from orders import queries, reconcile
from orders.models import ChannelOrder
from orders.states import OrderState
from tests.bench import rows
from tests.bench.figures import Passes
from tests.bench.shop import Shop
from tests.bench.statements import Statement, noted, rows_read
from tests.bench.timed_node import TimedCalls

OPEN_ORDERS = 100
AT_REST = (OrderState.CLOSED, OrderState.EXPIRED, OrderState.REFUNDED, OrderState.REJECTED)


def measure(shop: Shop, sizes: Sequence[int], *, repeats: int, say: Callable[[str], None]) -> list[Passes]:
    """Some passes for each number of orders at rest, each number in a database of its own, in turn."""
    with closing(shop.client()) as client:
        for _ in range(OPEN_ORDERS - _in_work()):
            shop.buy(client, tries=30)
    with ExitStack() as opened:
        series = [opened.enter_context(closing(_Series(shop, at_rest))) for at_rest in sizes]
        for _ in range(repeats):
            for each in series:
                each.go_on()
        measured = [each.result() for each in series]
    for passes in measured:
        say(
            f"among {passes.at_rest} at rest: {passes.typical * 1000:.0f} ms, {passes.own * 1000:.0f} ms of it ours, "
            f"{passes.rows} rows looked at"
        )
    return measured


def _in_work() -> int:
    return ChannelOrder.objects.exclude(state__in=AT_REST).count()


class _Series:
    """Passes over one database."""

    def __init__(self, shop: Shop, at_rest: int) -> None:
        self._shop, self._at_rest = shop, at_rest
        self._database = shop.copied_database(f"at_rest_{at_rest}")
        self._seconds: list[float] = []
        self._node_seconds: list[float] = []
        self._calls = 0
        self._seen: list[Statement] = []
        with shop.using(self._database):
            rows.fill(at_rest)
            _pass(shop.node)  # the first of a new database is neither timed nor counted
            with noted(self._seen):
                _pass(shop.node)

    def go_on(self) -> None:
        """One more pass."""
        timed: Any = TimedCalls(self._shop.node)
        with self._shop.using(self._database):
            begun = time.perf_counter()
            _pass(timed)
            self._seconds.append(time.perf_counter() - begun)
        self._node_seconds.append(timed.seconds)
        self._calls = timed.calls

    def result(self) -> Passes:
        with self._shop.using(self._database):
            read, in_work = rows_read(self._seen).total(), _in_work()
        return Passes(self._at_rest, in_work, self._seconds, self._node_seconds, len(self._seen), self._calls, read)

    def close(self) -> None:
        self._database.close()


def _pass(node: LndNode) -> None:
    """What the worker does each minute, but for handing out what is due: nothing is."""
    reconcile.look(node)
    queries.due_ids(timezone.now())
