"""The operations of a shop, one after the other, each with the statements and the node's calls that it takes.

They go through one order's life, so that each finds what the one before has left; a first order before it fills what
processes remember.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from lightning import connection as lightning
from lightning import shared
from orders import reconcile, recovering, standing
from orders.advance import advance
from orders.models import ChannelOrder
from tests.bench.calls import Asked, counted, noted_calls
from tests.bench.statements import Statement, noted

Step = tuple[str, Callable[[], Any]]
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_DEEP_BLOCKS: Final = 7


@dataclass(frozen=True)
class Cost:
    """One operation, done once."""

    operation: str
    statements: list[Statement]
    calls: list[Asked]
    seconds: float

    @property
    def answer_bytes(self) -> int:
        """Of all answers together."""
        return sum(each.answer_bytes for each in self.calls)


def costs(shop: Any) -> Iterator[Cost]:
    """What each operation takes, with the second of two orders: the first has made this process warm.

    `shop` buys, pays, claims and reads, as `tests.e2e.shop.Shop` does.
    """
    for _, doing in _steps(shop):
        doing()
    for name, doing in _steps(shop):
        yield _cost(name, doing)


def _cost(name: str, doing: Callable[[], Any]) -> Cost:
    statements: list[Statement] = []
    calls: list[Asked] = []
    with noted(statements), noted_calls(calls):
        begun = time.perf_counter()
        doing()
        seconds = time.perf_counter() - begun
    return Cost(name, statements, calls, seconds)


def _steps(shop: Any) -> Iterator[Step]:
    """The operations of one order's life, and what goes on beside it. What comes between two of them is not counted."""
    yield "start of a process", _start
    yield "minute at rest", reconcile.reconcile
    quotes: list[dict[str, Any]] = []
    host = shop.network.buyer.p2p_address
    standing.read()  # the node was just looked at: the next who buys over this connection reads anew what stands
    yield "buy", lambda: quotes.append(shop.buy())
    shared.forget()
    yield "buy, naming a node", lambda: quotes.append(shop.buy(node_uri=host))
    yield "buy, naming a node, as another just has", lambda: quotes.append(shop.buy(node_uri=host))
    quote = quotes[0]
    yield "read an order", lambda: shop.seen(quote)
    yield "minute, unpaid orders", reconcile.reconcile
    shop.pay(quote)
    yield from _looks(quote, "record a held payment", "look at a held order")
    _forget_peers()
    yield "claim", lambda: shop.claim(quote)
    yield from _looks(quote, "open its channel, and settle", "look at an order that is opening")
    shop.network.mine(1)
    yield "block, a funding under way", lambda: reconcile.new_block(shop.node)
    yield from _looks(quote, "look at its order after the block")
    for _ in range(_DEEP_BLOCKS):
        shop.network.mine(1)
        reconcile.new_block(shop.node)
        _look_at(quote)()
    yield from _looks(quote, "look at an open order")
    yield "minute, an open channel", reconcile.reconcile
    shop.network.mine(1)
    yield "block, an open channel", lambda: reconcile.new_block(shop.node)
    yield "recover", lambda: recovering.survey(shop.node)


def _start() -> None:
    """As a process that has asked nothing yet."""
    lightning._node_of.cache_clear()
    reconcile._asked.clear()
    reconcile.listed.asking = None
    reconcile.look(lightning.node())


def _forget_peers() -> None:
    """As a moment later: whom the node has listed is not believed to be there any more."""
    lightning.node()._seen = (0.0, frozenset())


def _looks(quote: dict[str, Any], *names: str) -> Iterator[Step]:
    for name in names:
        yield name, _look_at(quote)


def _look_at(quote: dict[str, Any]) -> Callable[[], object]:
    """The order is due, and looked at."""
    order_id = UUID(quote["order_id"])
    ChannelOrder.objects.filter(pk=order_id).update(due_at=_LONG_AGO)
    return lambda: advance(order_id)


def table(measured: Iterable[Cost]) -> str:
    """A row for each operation: statements, calls, and which."""
    rows = [
        f"{cost.operation:<40} {len(cost.statements):>4} {len(cost.calls):>4}  "
        + ", ".join(name if times == 1 else f"{times} x {name}" for name, times in counted(cost.calls))
        for cost in measured
    ]
    return "\n".join([f"{'operation':<40} {'SQL':>4} {'node':>4}  calls", *map(str.rstrip, rows)]) + "\n"
