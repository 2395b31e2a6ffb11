"""Orders per second over HTTP, and the bare calls that every order needs, in rounds that alternate."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from django.conf import settings

from lightning.node import LndNode
from tests.bench import rows
from tests.bench.figures import Beside, Level
from tests.bench.lnbits import Lnbits
from tests.bench.processor import spent
from tests.bench.shop import Shop

#: Between rounds: the streams process has taken up what the last one made.
REST_SECONDS = 2.0
WARMING_ORDERS = 16


def measure(shop: Shop, levels: Sequence[int], *, rounds: int, orders: int, say: Callable[[str], None]) -> list[Level]:
    """Each level had `rounds` rounds of `orders` purchases, and as many of the bare calls, in turn."""
    bare = partial(_pair, shop.node, _total(shop))
    _buying(shop, 8, WARMING_ORDERS)
    _together([bare] * 8, WARMING_ORDERS)
    measured = []
    for clients in levels:
        level = _level(shop, clients, bare, rounds=rounds, orders=orders)
        measured.append(level)
        say(f"{clients:>3} clients: {level.orders:.0f} orders/s, {level.pairs:.0f} pairs/s, ratio {level.ratio:.2f}")
    return measured


def beside(shop: Shop, other: Lnbits, clients: int, *, rounds: int, orders: int) -> Beside:
    """As many rounds of `orders` purchases, and of plain invoices that LNbits makes, in turn."""
    ours, theirs = [], []
    for _ in range(rounds):
        rows.forget_unpaid()
        time.sleep(REST_SECONDS)
        theirs.append(other.invoices_per_second(clients, orders, _together))
        time.sleep(REST_SECONDS)
        ours.append(_buying(shop, clients, orders))
    return Beside(clients, ours, theirs)


def _level(shop: Shop, clients: int, bare: Callable[[], object], *, rounds: int, orders: int) -> Level:
    over_http, on_node = [], []
    for_orders: Counter[str] = Counter()
    for_pairs: Counter[str] = Counter()
    for _ in range(rounds):
        rows.forget_unpaid()  # every round begins alike
        time.sleep(REST_SECONDS)
        with _adding_to(for_pairs, shop):
            on_node.append(_together([bare] * clients, orders))
        time.sleep(REST_SECONDS)
        with _adding_to(for_orders, shop):
            over_http.append(_buying(shop, clients, orders))
            time.sleep(REST_SECONDS)  # what the streams process has left to do counts too
    each = rounds * orders
    return Level(
        clients,
        over_http,
        on_node,
        {part: seconds / each for part, seconds in for_orders.items()},
        for_pairs["node"] / each,
    )


@contextmanager
def _adding_to(total: Counter[str], shop: Shop) -> Iterator[None]:
    """What each part takes of the processor meanwhile is added."""
    before = shop.processor_seconds()
    yield
    for part, seconds in spent(before, shop.processor_seconds()).items():
        total[part] += seconds  # type: ignore[assignment]  # a Counter counts anything


def _total(shop: Shop) -> int:
    with closing(shop.client()) as client:
        return int(shop.buy(client, tries=30)["total_amount"])


def _buying(shop: Shop, clients: int, orders: int) -> float:
    with ExitStack() as opened:
        connections = [opened.enter_context(closing(shop.client())) for _ in range(clients)]
        return _together([partial(shop.buy, each) for each in connections], orders)


def _pair(node: LndNode, amount_sat: int) -> None:
    """What a purchase asks of the node, and no more."""
    payment_hash = secrets.token_hex(32)
    node.add_hold_invoice(
        payment_hash=payment_hash,
        amount_sat=amount_sat,
        memo=f"Lightning channel, order {payment_hash[:36]}",
        expiry_seconds=settings.ORDER_LIFETIME_SECONDS,
        cltv_blocks=settings.HOLD_CLTV_BLOCKS,
    )
    node.new_address()


def _together(callers: Sequence[Callable[[], object]], times: int) -> float:
    """Every caller is a thread; together they made `times` calls. Returns calls per second.

    Raises: what the first failed call raised.
    """
    left = iter(range(times))  # next() on it is one step: no call is made twice
    begin = threading.Barrier(len(callers) + 1)
    failures: list[Exception] = []

    def work(call: Callable[[], object]) -> None:
        begin.wait()
        try:
            for _ in left:
                call()
        except Exception as failure:  # noqa: BLE001  handed to whoever waits for the threads
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(call,), daemon=True) for call in callers]
    for thread in threads:
        thread.start()
    begin.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return times / (time.perf_counter() - begun)
