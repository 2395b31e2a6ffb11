"""Each operation on a new node and on one with much at rest: its calls, their answers' bytes, and the time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from tests.regtest.bitcoin import OUR_ADDRESS

Say = Callable[[str], None]

_COIN_SAT: Final = 10_000
_THREADS: Final = 16
#: Of strangers, and one more that spends all that they have brought.
_BLOCK_TRANSACTIONS: Final = 500
_INVOICES_AT_ONCE: Final = 500
_SAID_EACH: Final = 10_000
#: So deep that no look which is made again and again goes there.
_BURIED_BLOCKS: Final = 20
#: What a real node has after so long is enough.
_FILLING_SECONDS: Final = 600.0


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
        new, _, _ = _costs(kind, None, say)
        say(f"{kind}: a node with {fillings[kind]}")
        large, version, filled = _costs(kind, fillings[kind], say)
        assert filled is not None
        yield Compared(KINDS[kind].title, version, filled, new, large)


def _costs(kind: str, filling: Filling | None, say: Say) -> tuple[list[Cost], str, Filling | None]:
    with KINDS[kind].network() as network, Shop(network) as shop:
        if filling is not None:
            filling = _filled(kind, network, shop.node, filling, say)
        settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS = True, 1
        settings.READ_RATE = settings.CLAIM_RATE = settings.BUY_RATE
        if not Service.objects.exists():
            Service.objects.create()
        selling = Selling(network, Client(SERVER_NAME="127.0.0.1"))  # type: ignore[arg-type]
        found = list(operations.costs(selling))
        return found, shop.node.info().version.partition(" ")[0], filling


def _filled(kind: str, network: Any, node: LndNode, filling: Filling, say: Say) -> Filling:
    """What the node has at rest now: as much as was wanted, or as there was time for."""
    if kind == SIMULATOR:
        network.lsp.control.fill(**vars(filling))
        return filling
    until = time.monotonic() + _FILLING_SECONDS
    transactions = _spend_deposits(network, node, filling.transactions, say)
    invoices = _add_invoices(node, filling.invoices, until, say)
    return replace(filling, invoices=invoices, transactions=transactions)


def _spend_deposits(network: Any, node: LndNode, count: int, say: Say) -> int:
    """The wallet has so many transactions, of coins that are gone, as an old shop's are; how many."""
    done = 0
    while done < count:
        many = min(_BLOCK_TRANSACTIONS, count - done)
        with ThreadPoolExecutor(_THREADS) as threads:
            addresses = list(threads.map(lambda _: node.new_address(), range(many - 1)))
        deposits = network.chain.pay_each([(address, _COIN_SAT) for address in addresses])
        network.mine(1)
        _spend(network.lsp, deposits)
        network.mine(1)
        done += many
        say(f"{done:,} transactions")
    network.mine(_BURIED_BLOCKS)
    return done


def _spend(lsp: Any, deposits: Sequence[str]) -> None:
    """What came in by these transactions, and nothing else, goes to strangers in one."""
    coins = [{"txid_str": txid, "output_index": 0} for txid in deposits]
    lsp.call("lnrpc.Lightning/SendCoins", addr=OUR_ADDRESS, send_all=True, sat_per_vbyte=2, outpoints=coins)


def _add_invoices(node: LndNode, count: int, until: float, say: Say) -> int:
    """Each is over at once; how many there was time for."""
    done = 0

    def add(_: int) -> None:
        payment_hash = hashlib.sha256(os.urandom(32)).hexdigest()
        node.add_hold_invoice(
            payment_hash=payment_hash, amount_sat=1_000, memo="", expiry_seconds=3600, cltv_blocks=144
        )
        node.cancel_invoice(payment_hash)

    with ThreadPoolExecutor(_THREADS) as threads:
        while done < count and time.monotonic() < until:
            many = min(_INVOICES_AT_ONCE, count - done)
            list(threads.map(add, range(many)))
            done += many
            if done % _SAID_EACH == 0:
                say(f"{done:,} invoices")
    return done


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
and each hour the wallet's transactions of some weeks are read once more. LND tells of one peer only with all others:
they are listed for who names a node, once a second for all who do, by the streams process at each block, and, where
that process does not know that the buyer's node is there, as here, before a channel is opened. Coins are listed each
minute, and transactions from a height. Those of a real node here came in by deposits, and are spent: it is filled for
ten minutes at most. `make test` compares statements and calls with `tests/simulator/costs.txt`."""


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
