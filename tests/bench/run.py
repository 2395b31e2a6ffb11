"""One run of the benchmark: for each kind of node a network, the server on it and the measurements; then the page."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from django.db import connection

from tests.bench import (
    database,
    forwards,
    large,
    latency,
    lnbits,
    page,
    passes,
    peers,
    purchase,
    rows,
    throughput,
    waiting,
)
from tests.bench.figures import Beside, Machine, Measured, Peers, Result, Share
from tests.bench.nodes import KINDS, LND, SIMULATOR
from tests.bench.shop import ROOT, Shop
from tests.bench.traced_node import TracedNode, shares
from tests.regtest.build import BuildFailed, GoMissing, binaries

PAGE = ROOT / "docs" / "performance.md"
LARGE_PAGE = ROOT / "docs" / "large-nodes.md"
DATABASE_PAGE = ROOT / "docs" / "large-databases.md"
WAITING_PAGE = ROOT / "docs" / "waiting-orders.md"
CLIENTS = (1, 8, 64)
BESIDE = (1, 8)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    runs: int = 100
    rounds: int = 3
    orders: int = 192
    passes: int = 15
    asked: int = 10
    at_rest: tuple[int, ...] = (1_000, 100_000)


QUICK = Sizes(runs=2, rounds=1, orders=64, passes=3, asked=1, at_rest=(1_000, 5_000))


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--node", choices=KINDS, help="measure on this kind only; the page is left as it is")
    parser.add_argument("--large", action="store_true", help="nodes with much at rest; writes docs/large-nodes.md")
    parser.add_argument("--database", action="store_true", help="many orders; writes docs/large-databases.md")
    parser.add_argument("--waiting", action="store_true", help="orders that wait; writes docs/waiting-orders.md")
    parser.add_argument("--forwards", action="store_true", help="others' payments over a real lnd; writes no page")
    parser.add_argument("--quick", action="store_true", help="does it run? A minute each; the page is left as it is")
    parser.add_argument("--peers", action="store_true", help="peers that ask at once alone; the page is left as it is")
    return parser.parse_args(given)


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    load_before = os.getloadavg()[0]
    kinds = [asked.node] if asked.node else list(KINDS)
    try:
        if asked.peers:
            return _peers_alone(asked.quick)
        if LND in kinds and not (asked.database or asked.waiting):
            binaries(say=say)
        if asked.forwards:
            say("\n" + forwards.page(*forwards.measure(10 if asked.quick else forwards.PAYMENTS, say)))
            return 0
        written, where = _measured_as(asked, kinds, load_before)
    except (GoMissing, BuildFailed) as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        return 130
    say("\n" + written)
    if not asked.quick and not asked.node:
        where.write_text(written, encoding="utf-8")
    return 0


def _peers_alone(quick: bool) -> int:
    with KINDS[SIMULATOR].network() as network, Shop(network) as shop:
        seen = _asking(SIMULATOR, shop, (QUICK if quick else Sizes()).asked)
    assert seen is not None
    say("\n\n".join(page.peers(seen)))
    return 0


def _measured_as(asked: argparse.Namespace, kinds: Sequence[str], load_before: float) -> tuple[str, Path]:
    """What was asked for, as a page, and where that belongs."""
    if asked.database:
        return database.page(database.measure(database.QUICK if asked.quick else database.AT_REST, say)), DATABASE_PAGE
    if asked.waiting:
        return waiting.page(*waiting.measure(waiting.QUICK if asked.quick else waiting.WHOLE, say)), WAITING_PAGE
    if asked.large:
        return _large(kinds, asked.quick), LARGE_PAGE
    return _usual(kinds, asked.quick, load_before), PAGE


def _usual(kinds: Sequence[str], quick: bool, load_before: float) -> str:
    return page.page(measure(kinds, QUICK if quick else Sizes(), load_before))


def _large(kinds: Sequence[str], quick: bool) -> str:
    return large.page(list(large.measure(kinds, large.QUICK if quick else large.FILLINGS, say)))


def measure(kinds: Sequence[str], sizes: Sizes, load_before: float) -> Result:
    """What a whole run showed; everything that it started is gone."""
    measured = []
    for kind in kinds:
        say(f"{kind}: starting the network, PostgreSQL and the server ...")
        with KINDS[kind].network() as network, Shop(network) as shop:
            measured.append(_of_kind(kind, shop, sizes))
            machine = _machine(load_before)
    return Result(machine, measured)


def _of_kind(kind: str, shop: Shop, sizes: Sizes) -> Measured:
    say("payment held to channel asked for")
    half = sizes.runs // 2
    with shop.streams():
        reactions = latency.measure(shop, half, say)
    say("passes of reconcile")  # now: half of what is in work are channels, the rest are invoices
    seen = passes.measure(shop, sizes.at_rest, repeats=sizes.passes, say=say)
    rows.forget_unpaid()
    say("payment held to channel asked for, the rest")
    with shop.streams():
        reactions += latency.measure(shop, sizes.runs - half, say)
        say("orders per second")  # of a shop that is at work: payments have shown what the node tells of them
        levels = throughput.measure(shop, CLIENTS, rounds=sizes.rounds, orders=sizes.orders, say=say)
        compared = _beside(kind, shop, sizes)
    rows.forget_unpaid()
    say("payment held to channel asked for, traced")
    waits = _traced(shop, sizes.runs // 4)
    rows.forget_unpaid()
    alone = purchase.measure(shop, sizes.orders)
    asking = _asking(kind, shop, sizes.asked)
    node_version = shop.node.info().version.partition(" ")[0]
    about = KINDS[kind]
    return Measured(
        about.title, about.said, node_version, sizes.orders, levels, alone, reactions, seen, waits, asking, compared
    )


def _beside(kind: str, shop: Shop, sizes: Sizes) -> list[Beside]:
    """LNbits needs a real node."""
    if kind != LND or not lnbits.is_there():
        return []
    say("LNbits beside us")
    with lnbits.running(shop) as other:
        return [throughput.beside(shop, other, clients, rounds=sizes.rounds, orders=sizes.orders) for clients in BESIDE]


def _traced(shop: Shop, runs: int) -> list[Share]:
    """What so many payments wait for; the first of the process are not counted."""
    with shop.streams(LIGHTNING_NODE=f"{TracedNode.__module__}.{TracedNode.__name__}"):
        latency.measure(shop, 2, say)
        seen = latency.measure(shop, max(1, runs), say)
        return shares(shop.streams_log(), [(each.held_at, each.held_at + each.sent) for each in seen])


def _asking(kind: str, shop: Shop, rounds: int) -> Peers | None:
    """Only a simulated node has a hundred peers that do as they are told."""
    if kind != SIMULATOR:
        return None
    say("peers that ask at once")
    return peers.measure(shop, shop.network.lsp.control, rounds)


def _machine(load_before: float) -> Machine:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgresql = str(cursor.fetchone()[0]).partition(" ")[0]
    return Machine(
        cores=os.cpu_count() or 1,
        processor=_processor(),
        load_before=load_before,
        python=platform.python_version(),
        django=version("django"),
        gunicorn=version("gunicorn"),
        postgresql=postgresql,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
