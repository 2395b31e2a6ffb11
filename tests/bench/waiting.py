"""Thousands of orders that wait for their buyers, beside a shop with ten: what they cost while nothing happens."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.conf import settings
from django.utils import timezone

from lightning.node import LndNode
from orders import queries, reconcile
from orders.models import ChannelOrder, Heartbeat
from orders.states import OrderState
from tests.bench import processor
from tests.bench.figures import percentile
from tests.bench.nodes import KINDS, SIMULATOR
from tests.bench.page import table
from tests.bench.shop import Shop
from tests.bench.statements import Statement, noted
from tests.bench.timed_node import TimedCalls
from tests.regtest.waiting import until

T = TypeVar("T")
Answer = TypeVar("Answer")
Say = Callable[[str], None]

_CLIENTS: Final = 8
_COIN_SAT: Final = 2 * 10**8
_COINS: Final = 20
_DEEP_BLOCKS: Final = 6
_PASSES: Final = 5
#: So many are bought before they are paid.
_BATCH: Final = 500
#: Longer than all of it takes, and more than there are.
_ROOM: Final = {"ORDER_LIFETIME_SECONDS": "7200", "MOST_UNPAID_ORDERS": "20000", "CLAIM_PATIENCE_SECONDS": "7200"}
#: Nothing that has to do with being new is left: first looks are over, and failed claims have their longest pause.
_SETTLE_SECONDS: Final = 70.0
_FILL_SECONDS: Final = 1_800.0


@dataclass(frozen=True)
class Mix:
    """How many orders wait for what."""

    unpaid: int
    unclaimed: int
    offline: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.unpaid + self.unclaimed + self.offline

    def less(self, other: Mix) -> Mix:
        """What is missing to this, where there are the other's already."""
        return Mix(self.unpaid - other.unpaid, self.unclaimed - other.unclaimed, self.offline - other.offline)

    def __str__(self) -> str:
        return f"{self.unpaid:,} unpaid, {self.unclaimed:,} held and unclaimed, {self.offline:,} for offline peers"


@dataclass(frozen=True)
class Sizes:
    """The two shops, and how long each is watched."""

    few: Mix
    many: Mix
    rest_seconds: float
    bought: int
    settles_seconds: float = _SETTLE_SECONDS


WHOLE: Final = Sizes(Mix(5, 3, 2), Mix(5_000, 3_000, 2_000), rest_seconds=60.0, bought=200)
QUICK: Final = Sizes(Mix(5, 3, 2), Mix(100, 60, 40), rest_seconds=10.0, bought=20, settles_seconds=5.0)


@dataclass(frozen=True)
class Cost:
    """What one shop takes: memory in bytes, shares of a core at rest, one pass, one purchase."""

    mix: Mix
    memory: Mapping[str, int]
    subscribed: int
    shares: Mapping[str, float]
    pass_seconds: float
    pass_node_seconds: float
    statements: int
    calls: int
    buy_seconds: Sequence[float]


def measure(sizes: Sizes, say: Say) -> tuple[Cost, Cost]:
    """A shop with a few such orders, and the same one when it has many."""
    with KINDS[SIMULATOR].network() as network, Shop(network, **_ROOM) as shop:
        for _ in range(_COINS):
            network.chain.pay([(network.lsp.new_address(), _COIN_SAT)])
        network.mine(_DEEP_BLOCKS)
        with shop.streams(), shop.worker():
            say(f"filling: {sizes.few}")
            _fill(shop, sizes.few, first=0)
            few = _cost(shop, sizes.few, sizes, say)
            say(f"filling: {sizes.many}")
            _fill(shop, sizes.many.less(sizes.few), first=sizes.few.offline)
            return few, _cost(shop, sizes.many, sizes, say)


def _fill(shop: Shop, mix: Mix, *, first: int) -> None:
    """So many more orders wait; whose node is offline is numbered from `first`.

    First those that nobody pays: the payments that follow show what the node tells, as they do in any shop at work.
    """
    _each_client(shop, range(mix.unpaid), lambda client, _: shop.buy(client, tries=60))
    for begin in range(0, mix.offline + mix.unclaimed, _BATCH):
        ids = _paid(shop, min(_BATCH, mix.offline + mix.unclaimed - begin))
        claims = list(enumerate(ids[: max(0, mix.offline - begin)], first + begin))
        _each_client(shop, claims, lambda client, claim: _claim(shop, client, *claim))
    until(lambda: not _untried(), "each offline peer was tried", timeout=_FILL_SECONDS, pause=1)


def _paid(shop: Shop, count: int) -> list[str]:
    """So many more orders are paid, and that is recorded."""
    quotes = _each_client(shop, range(count), lambda client, _: shop.buy(client, tries=60))
    ids = [quote["order_id"] for quote in quotes]
    for quote in quotes:
        shop.network.lsp.control.pay(quote["ln_invoice"])
    until(lambda: not _unpaid(ids), "the payments are recorded", timeout=_FILL_SECONDS, pause=0.2)
    return ids


def _each_client(shop: Shop, over: Iterable[T], ask: Callable[[http.client.HTTPConnection, T], Answer]) -> list[Answer]:
    """Some clients share this work; each has a connection of its own."""
    local = threading.local()

    def asked(each: T) -> Answer:
        if not hasattr(local, "client"):
            local.client = shop.client()
        return ask(local.client, each)

    with ThreadPoolExecutor(_CLIENTS) as threads:
        return list(threads.map(asked, over))


def _unpaid(ids: Sequence[str]) -> bool:
    return ChannelOrder.objects.filter(pk__in=ids, state=OrderState.CREATED).exists()


def _untried() -> bool:
    return ChannelOrder.objects.filter(state=OrderState.URI_SET, last_failure_reason="").exists()


def _claim(shop: Shop, client: http.client.HTTPConnection, number: int, order_id: str) -> None:
    customer = shop.network.lsp.control.change_customer(f"offline-{number}", presence="offline")
    body = {"order_id": order_id, "node_uri": f"{customer.pubkey}@{customer.host}"}
    client.request("POST", "/channel/manual_finalise", json.dumps(body), {"Content-Type": "application/json"})
    answer = client.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the claim answered {answer.status}: {content[:300]!r}")


def _cost(shop: Shop, mix: Mix, sizes: Sizes, say: Say) -> Cost:
    _have_failed_before()
    time.sleep(sizes.settles_seconds)
    say(f"at rest for {sizes.rest_seconds:.0f} s")
    shares = _shares(shop, sizes.rest_seconds)
    memory, subscribed = shop.memory_bytes(), _subscribed(say)
    seconds, node_seconds, statements, calls = _passes(shop)
    bought = _bought(shop, sizes.bought)
    cost = Cost(mix, memory, subscribed, shares, seconds, node_seconds, statements, calls, bought)
    say(", ".join(f"{part} {share * 100:.1f} %" for part, share in shares.items()))
    say(", ".join(f"{part} {size / 1e6:.0f} MB" for part, size in cost.memory.items()))
    say(f"a pass {seconds:.3f} s ({statements} statements), an order {statistics.median(bought) * 1000:.1f} ms")
    return cost


def _have_failed_before() -> None:
    """Who is offline has been for hours: the pauses have reached their limit, and do not end together."""
    longest = settings.RETRY_MAX_SECONDS
    waiting = list(ChannelOrder.objects.filter(state=OrderState.URI_SET).values_list("pk", flat=True))
    for number, order_id in enumerate(waiting):
        pause = timedelta(seconds=longest * (number + 1) / len(waiting))
        orders = ChannelOrder.objects.filter(pk=order_id)
        orders.update(failed_openings=20, due_at=timezone.now() + pause)


def _subscribed(say: Say) -> int:
    """To how many invoices, as the streams process says."""
    detail = Heartbeat.objects.get(name="streams").detail
    say(detail)
    return int(dict(said.split("=") for said in detail.split())["invoices"])


def _shares(shop: Shop, lasts: float) -> dict[str, float]:
    """Of a core, by part."""
    before, begun = shop.processor_seconds(), time.perf_counter()
    time.sleep(lasts)
    lasted = time.perf_counter() - begun
    return {part: seconds / lasted for part, seconds in processor.spent(before, shop.processor_seconds()).items()}


def _passes(shop: Shop) -> tuple[float, float, int, int]:
    """The median pass and what of it waited for the node, in seconds; its statements, and calls."""
    seen: list[Statement] = []
    _pass(shop.node)
    with noted(seen):
        _pass(shop.node)
    took = []
    for _ in range(_PASSES):
        timed: Any = TimedCalls(shop.node)
        begun = time.perf_counter()
        _pass(timed)
        took.append((time.perf_counter() - begun, timed.seconds, timed.calls))
    seconds, node_seconds, calls = sorted(took)[_PASSES // 2]
    return seconds, node_seconds, len(seen), calls


def _pass(node: LndNode) -> None:
    reconcile.look(node)
    queries.due_ids(timezone.now())


def _bought(shop: Shop, count: int) -> list[float]:
    """How long each of so many purchases took, one after the other."""
    took = []
    with closing(shop.client()) as client:
        for _ in range(count):
            begun = time.perf_counter()
            shop.buy(client, tries=1)
            took.append(time.perf_counter() - begun)
    return took


def page(few: Cost, many: Cost) -> str:
    """The whole page."""
    head = ("", f"{few.mix.total:,} orders wait", f"{many.mix.total:,} orders wait")
    parts = [
        "# Orders that wait",
        "<!-- Written by `make bench SCALE=waiting` (python -m tests.bench --waiting). -->",
        _HOW,
        f"The many: {many.mix}.",
        table(head, [(name, tell(few), tell(many)) for name, tell in _LINES]),
    ]
    return "\n\n".join(parts) + "\n"


def _memory(part: str) -> Callable[[Cost], str]:
    return lambda cost: f"{cost.memory[part] / 1e6:.0f}"


def _share(part: str) -> Callable[[Cost], str]:
    return lambda cost: f"{cost.shares[part] * 100:.1f}"


_LINES: Final[Sequence[tuple[str, Callable[[Cost], str]]]] = (
    ("invoices subscribed to", lambda cost: f"{cost.subscribed:,}"),
    ("streams, MB", _memory("streams")),
    ("worker, MB", _memory("worker")),
    ("streams, % of a core", _share("streams")),
    ("worker, % of a core", _share("worker")),
    ("PostgreSQL, % of a core", _share("PostgreSQL")),
    ("node, % of a core", _share("node")),
    ("a pass, ms", lambda cost: f"{cost.pass_seconds * 1000:.0f}"),
    ("of it the node, ms", lambda cost: f"{cost.pass_node_seconds * 1000:.0f}"),
    ("its statements", lambda cost: str(cost.statements)),
    ("its calls", lambda cost: str(cost.calls)),
    ("a new order, ms", lambda cost: f"{statistics.median(cost.buy_seconds) * 1000:.1f}"),
    ("a new order, p99 ms", lambda cost: f"{percentile(cost.buy_seconds, 99) * 1000:.1f}"),
)

_HOW: Final = """\
Buyers pay late, claim later, and name nodes that are away. Here is what such orders cost while nothing happens, on the
simulated node: memory of a program with all that it has begun (what they share is divided among them), its share of a
core, one pass of reconcile, and a purchase. The nodes that are away have been for so long that each is tried once in
the longest pause (`RETRY_MAX_SECONDS`). Times and shares are those of one machine on one day."""
