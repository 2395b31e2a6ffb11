"""One pass of reconcile, with a hundred orders in work among few and among many at rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from django.db import connection
from django.utils import timezone

from lightning.node import LndNode
from orders import queries, reconcile
from orders.models import ChannelOrder
from orders.states import OrderState
from tests.bench import rows
from tests.bench.figures import Passes
from tests.bench.shop import Shop

OPEN_ORDERS = 100
AT_REST = (OrderState.CLOSED, OrderState.EXPIRED, OrderState.REFUNDED, OrderState.REJECTED)
#: Tables that grow with every order ever made: a pass must not read one of them whole.
GROWING = {
    "orders_channelorder",
    "orders_holdinvoice",
    "orders_channelopening",
    "orders_wallettransaction",
    "orders_onchainpayment",
    "orders_orderevent",
}


class TimedCalls:
    """A node that adds up how long it was waited for."""

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


def measure(shop: Shop, sizes: Sequence[int], *, repeats: int, say: Callable[[str], None]) -> list[Passes]:
    """Some passes for each number of orders at rest, each number in a database of its own, in turn."""
    with closing(shop.client()) as client:
        for _ in range(OPEN_ORDERS - _in_work()):
            shop.buy(client)
    with ExitStack() as opened:
        series = [opened.enter_context(closing(_Series(shop, at_rest))) for at_rest in sizes]
        for _ in range(repeats):
            for each in series:
                each.go_on()
        measured = [each.result() for each in series]
    for passes in measured:
        say(f"among {passes.at_rest} at rest: {passes.typical * 1000:.0f} ms, {passes.own * 1000:.0f} ms of it ours")
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
        self._seen: list[tuple[str, Any]] = []
        with shop.using(self._database):
            rows.fill(at_rest)
            with _statements(self._seen):  # the first pass is not timed
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
            found = {table for statement, given in self._seen for table in _read_whole(statement, given)}
            whole, in_work = sorted(found & _grown(self._at_rest)), _in_work()
        return Passes(self._at_rest, in_work, self._seconds, self._node_seconds, len(self._seen), self._calls, whole)

    def close(self) -> None:
        self._database.close()


def _pass(node: LndNode) -> None:
    """What the worker does each minute, but for handing out what is due: nothing is."""
    reconcile.look(node)
    queries.due_ids(timezone.now())


@contextmanager
def _statements(seen: list[tuple[str, Any]]) -> Iterator[None]:
    """Every statement is noted with what was given to it."""

    def note(execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        seen.append((sql, given))
        return execute(sql, given, many, context)

    with connection.execute_wrapper(note):
        yield


def _grown(at_rest: int) -> set[str]:
    """The tables that have grown here: of an empty one a scan says nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [at_rest // 10])
        return GROWING & {name for (name,) in cursor.fetchall()}


def _read_whole(sql: str, given: Any) -> Iterator[str]:
    """The tables that PostgreSQL reads from end to end for this statement."""
    if not sql.lstrip().upper().startswith("SELECT"):
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", given)
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    yield from scanned(plan[0]["Plan"])


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables of the sequential scans in a plan of PostgreSQL's."""
    if "Seq Scan" in plan["Node Type"]:
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from scanned(below)
