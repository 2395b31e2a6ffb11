"""What we add to ordinary forwarding, on a real lnd that asks us about all of it.

    python -m tests.bench --forwards

Two measures: how long whole payments of one node to another take over ours, and, by the times in lnd's own log, how
long lnd waits for our answer about each part (to the millisecond, with what its log itself takes).
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import psutil

from orders.nudges import nudge_all
from tests.bench.figures import percentile
from tests.bench.shop import Shop
from tests.factories import OrderFactory
from tests.regtest.lnd import Lnd
from tests.regtest.network import CHANNEL_SAT, Network
from tests.regtest.waiting import until

AMOUNT_SAT: Final = 1_000
PAYMENTS: Final = 200
#: lnd tells of each part that it asks about, and of each answer; of the rest what it says usually.
_TELLING: Final = "--debuglevel=info,RRPC=trace"
_ASKING: Final = "--requireinterceptor"
_ASKED: Final = "Sending intercepted packet"
_TOLD: Final = re.compile(rf"^(\S+ \S+) \[TRC\] RRPC: ({_ASKED}|Received packet from stream)")
#: Orders that are looked at again and again, while others pay.
_ORDERS: Final = 40


@dataclass(frozen=True)
class Seen:
    """One way of running it: how long each payment took, how long lnd waited for each answer, and what failed."""

    name: str
    payments: list[float]
    answers: list[float] = field(default_factory=list)
    failed: int = 0

    def line(self) -> str:
        """A row of the table, in milliseconds."""
        return f"| {self.name} | {_told(self.payments)} | {_told(self.answers)} | {self.failed} |"


def _told(seconds: Sequence[float]) -> str:
    if not seconds:
        return "– | –"
    return f"{1000 * percentile(seconds, 50):.1f} | {1000 * percentile(seconds, 99):.1f}"


def page(seen: Sequence[Seen], silence_seconds: float) -> str:
    """The table, in Markdown."""
    head = "| | payment p50 ms | p99 | lnd waits for us p50 ms | p99 | failed |\n|---|---|---|---|---|---|"
    rows = "\n".join(each.line() for each in seen)
    return f"{head}\n{rows}\n\nFrom a kill -9 of the streams process to the next payment: {silence_seconds:.1f} s.\n"


def measure(payments: int, say: Callable[[str], None]) -> tuple[list[Seen], float]:
    """All ways, one after the other, and for how long nothing was forwarded after the process was killed."""
    with Network(flags={"lsp": [_TELLING]}) as network:
        payee = network.add("payee")
        network.lsp.open_channel(payee, CHANNEL_SAT)
        until(lambda: network.buyer.has_route(payee, AMOUNT_SAT), "the buyer knows the payee", timeout=60)
        road = Road(network, payee)
        road.pay(20)
        say("nobody is asked")
        seen = [road.timed("lnd alone", payments)]
        network.lsp.restart([_TELLING, _ASKING])
        with Shop(network, LSPS2_ENABLED="on", LSPS2_ON_OLD_LND="on") as shop:
            seen += _with_us(shop, road, payments, say)
            return seen, _silence_seconds(shop, road)


def _with_us(shop: Shop, road: Road, payments: int, say: Callable[[str], None]) -> Iterator[Seen]:
    with shop.streams():
        road.wait()
        say("we are asked")
        yield road.timed("we are asked", payments)
        say("we are asked, and look at orders")
        with _looking_at_orders():
            yield road.timed("we are asked, and look at orders", payments)
        say("our database hangs")
        with _hanging(shop):
            yield road.timed("our database hangs", payments)
    say("our process is down")
    yield road.timed("our process is down", 10)


def _silence_seconds(shop: Shop, road: Road) -> float:
    with shop.streams() as streams:
        road.wait()
        streams.kill()
        begun = time.monotonic()
    with shop.streams():
        road.wait()
        return time.monotonic() - begun


@contextmanager
def _looking_at_orders() -> Iterator[None]:
    ids = [order.pk for order in OrderFactory.create_batch(_ORDERS)]
    ended = threading.Event()

    def nudge() -> None:
        while not ended.wait(0.1):
            nudge_all(ids)

    nudging = threading.Thread(target=nudge)
    nudging.start()
    yield
    ended.set()
    nudging.join()


@contextmanager
def _hanging(shop: Shop) -> Iterator[None]:
    """PostgreSQL is there, and says nothing."""
    parent = psutil.Process(shop.postgres_pid)
    stopped = [*parent.children(recursive=True), parent]
    for each in stopped:
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(stopped):
            each.send_signal(signal.SIGCONT)


@dataclass
class Road:
    """The way of a payment: over our node, to somebody else's."""

    network: Network
    payee: Lnd

    def pay(self, payments: int) -> tuple[list[float], int]:
        """How long those took that arrived, and how many did not."""
        taken = [self._pay(self.payee.invoice(AMOUNT_SAT)) for _ in range(payments)]
        return [each for each in taken if each is not None], sum(each is None for each in taken)

    def _pay(self, invoice: str) -> float | None:
        self.network.buyer.forget_failures()
        begun = time.perf_counter()
        said: list[Any] = list(
            self.network.buyer.stream(
                "routerrpc.Router/SendPaymentV2", payment_request=invoice, timeout_seconds=5, fee_limit_sat=1_000
            )
        )
        return time.perf_counter() - begun if said[-1].payment_preimage.strip("0") else None

    def timed(self, name: str, payments: int) -> Seen:
        """So many, one after the other."""
        begun = self._log_size()
        took, failed = self.pay(payments)
        return Seen(name, took, _waits(self._log_since(begun)), failed)

    def wait(self) -> None:
        """A payment arrives."""
        until(lambda: self.pay(1)[1] == 0, "a payment arrives", timeout=60)

    def _log_size(self) -> int:
        return self.network.lsp.log.stat().st_size

    def _log_since(self, size: int) -> list[str]:
        with self.network.lsp.log.open("rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace").splitlines()


def _waits(lines: Sequence[str]) -> list[float]:
    """From each question to the answer, of one part at a time."""
    told = [(datetime.fromisoformat(found[1]), found[2] == _ASKED) for line in lines if (found := _TOLD.match(line))]
    return [(then - at).total_seconds() for (at, asked), (then, again) in pairwise(told) if asked and not again]
