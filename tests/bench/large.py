"""Each operation on a new node and on one with much at rest: its calls, their answers' bytes, and the time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.test import Client

from lightning.node import LndNode
from orders.models import Service
from tests.bench import operations
from tests.bench.nodes import KINDS, LND, SIMULATOR
from tests.bench.operations import Cost
from tests.bench.page import table
from tests.bench.shop import Shop
from tests.e2e.shop import Shop as Selling

Say = Callable[[str], None]

_COIN_SAT: Final = 10_000
#: Deposits in one transaction of a stranger's: one transaction of the wallet each time.
_THREADS: Final = 8
_BLOCK_TRANSACTIONS: Final = 500


@dataclass(frozen=True)
class Filling:
    """How much a node has at rest."""

    channels: int
    closed_channels: int
    invoices: int
    transactions: int
    blocks: int = 1

    def __str__(self) -> str:
        told = (("open channels", self.channels), ("closed ones", self.closed_channels), ("invoices", self.invoices))
        many = [f"{count:,} {name}" for name, count in (*told, ("wallet transactions", self.transactions)) if count]
        return ", ".join(many)


#: A real node has no channels by itself, and each takes seconds.
FILLINGS: Final = {
    SIMULATOR: Filling(10_000, 10_000, 1_000_000, 100_000, 8_000),
    LND: Filling(0, 0, 100_000, 5_000),
}
QUICK: Final = {SIMULATOR: Filling(500, 500, 5_000, 2_000, 200), LND: Filling(0, 0, 500, 50)}


@dataclass(frozen=True)
class Compared:
    """One kind of node, new and large."""

    title: str
    version: str
    filling: Filling
    new: Sequence[Cost]
    large: Sequence[Cost]


def measure(kinds: Sequence[str], fillings: dict[str, Filling], say: Say) -> Iterator[Compared]:
    """What each operation takes on each kind of node, before and after it was filled."""
    for kind in kinds:
        say(f"{kind}: a new node")
        new, _ = _costs(kind, None, say)
        say(f"{kind}: a node with {fillings[kind]}")
        large, version = _costs(kind, fillings[kind], say)
        yield Compared(KINDS[kind].title, version, fillings[kind], new, large)


def _costs(kind: str, filling: Filling | None, say: Say) -> tuple[list[Cost], str]:
    with KINDS[kind].network() as network, Shop(network) as shop:
        if filling is not None:
            _fill(kind, network, shop.node, filling, say)
        settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS = True, 1
        settings.READ_RATE = settings.CLAIM_RATE = settings.BUY_RATE
        if not Service.objects.exists():
            Service.objects.create()
        selling = Selling(network, Client(SERVER_NAME="127.0.0.1"))  # type: ignore[arg-type]
        found = list(operations.costs(selling))
        return found, shop.node.info().version.partition(" ")[0]


def _fill(kind: str, network: Any, node: LndNode, filling: Filling, say: Say) -> None:
    if kind == SIMULATOR:
        network.lsp.control.fill(**vars(filling))
        return
    _add_invoices(node, filling.invoices, say)
    for done in range(0, filling.transactions, _BLOCK_TRANSACTIONS):
        addresses = [node.new_address() for _ in range(min(_BLOCK_TRANSACTIONS, filling.transactions - done))]
        for address in addresses:
            network.chain.pay([(address, _COIN_SAT)])
        network.mine(1)
        say(f"{done + len(addresses):,} transactions")
    network.mine(6)


def _add_invoices(node: LndNode, count: int, say: Say) -> None:
    """Each is over at once."""

    def add(number: int) -> None:
        payment_hash = hashlib.sha256(os.urandom(32)).hexdigest()
        node.add_hold_invoice(
            payment_hash=payment_hash, amount_sat=1_000, memo="", expiry_seconds=3600, cltv_blocks=144
        )
        node.cancel_invoice(payment_hash)
        if number % 10_000 == 9_999:
            say(f"{number + 1:,} invoices")

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(add, range(count)))


def page(compared: Sequence[Compared]) -> str:
    """The whole page."""
    parts = ["# Large nodes", "<!-- Written by `make bench SCALE=large` (python -m tests.bench --large). -->", _HOW]
    for each in compared:
        parts += [
            f"## {each.title}",
            f"Version {each.version}, with {each.filling}.",
            "### By operation",
            _by_operation(each),
            "### By call",
            "On the large node; the largest answer, and the longest wait for one.",
            _by_call(each.large),
        ]
    return "\n\n".join(parts) + "\n"


_HOW: Final = """\
A node that sells channels has thousands of them, and invoices and transactions without number. Here is what each
operation asks of the node: how many calls, how many bytes their answers have together, and how long it all takes,
ourselves included; once on a new node and once on one with much at rest. Bytes are exact, times are those of one
machine on one day. A start and `manage.py recover` list everything. Each ten minutes one look is as large as a start's,
and each hour the wallet's transactions of some weeks are read once more. The peers are listed for who names a node,
once a second for all who do, and before a channel is opened. Coins are listed each minute, and transactions from a
height: those of a real node here are of its last blocks, and each has left it a coin. `make test` compares statements
and calls with `tests/simulator/costs.txt`."""


def _by_operation(compared: Compared) -> str:
    rows = [
        (
            large.operation,
            str(len(large.calls)),
            f"{_kilobytes(new.answer_bytes)}",
            f"{_kilobytes(large.answer_bytes)}",
            f"{new.seconds * 1000:.0f}",
            f"{large.seconds * 1000:.0f}",
        )
        for new, large in zip(compared.new, compared.large, strict=True)
    ]
    return table(("operation", "calls", "kB, new", "kB, large", "ms, new", "ms, large"), rows)


def _by_call(costs: Sequence[Cost]) -> str:
    calls = [call for cost in costs for call in cost.calls]
    names = sorted({call.name for call in calls})
    rows = []
    for name in names:
        same = [call for call in calls if call.name == name]
        largest, longest = max(call.answer_bytes for call in same), max(call.seconds for call in same)
        rows.append((name, str(len(same)), _kilobytes(largest), f"{longest * 1000:.1f}"))
    return table(("call", "made", "kB", "ms"), rows)


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.1f}"
