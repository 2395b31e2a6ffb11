"""One run of the benchmark: the network, the server on it, three measurements, and the page."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from django.db import connection

from tests.bench import latency, page, passes, throughput
from tests.bench.figures import Machine, Result
from tests.bench.shop import ROOT, Shop
from tests.regtest.build import BuildFailed, GoMissing, binaries
from tests.regtest.network import Network

PAGE = ROOT / "docs" / "performance.md"
CLIENTS = (1, 8, 64)
SERVER = "The server runs two web processes of four threads, and its streams process; the queue rests."


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="orders that are paid and opened (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each load (%(default)s)")
    parser.add_argument("--orders", type=int, default=256, help="orders in a round (%(default)s)")
    parser.add_argument("--passes", type=int, default=15, help="passes for each size (%(default)s)")
    parser.add_argument("--at-rest", type=int, nargs="+", default=[1_000, 100_000], help="sizes (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="does it run? A minute; the page is left as it is")
    asked = parser.parse_args(given)
    if asked.quick:
        asked.runs, asked.rounds, asked.orders, asked.passes, asked.at_rest = 2, 1, 64, 3, [1_000, 5_000]
    if min(asked.runs, asked.rounds, asked.orders, asked.passes) < 1 or min(asked.at_rest) < 100:
        parser.error("at least 1 of each, and 100 at rest")
    return asked


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    load_before = os.getloadavg()[0]
    try:
        binaries(say=say)
        written = page.page(measure(asked, load_before))
    except (GoMissing, BuildFailed) as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        return 130
    say("\n" + written)
    if not asked.quick:
        PAGE.write_text(written, encoding="utf-8")
    return 0


def measure(asked: argparse.Namespace, load_before: float) -> Result:
    """What a whole run showed; everything that it started is gone."""
    say("starting btcd, two lnd nodes, PostgreSQL and the server ...")
    with Network() as network, Shop(network) as shop:
        say("payment held to channel asked for")
        reactions = latency.measure(shop, asked.runs, say)
        say("passes of reconcile")
        seen = passes.measure(shop, sorted(set(asked.at_rest)), repeats=asked.passes, say=say)
        say("orders per second")
        shop.forget_unpaid()
        with shop.streams():
            levels = throughput.measure(shop, CLIENTS, rounds=asked.rounds, orders=asked.orders, say=say)
        return Result(machine(shop, load_before), asked.orders, SERVER, levels, reactions, seen)


def machine(shop: Shop, load_before: float) -> Machine:
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
        lnd=shop.node.info().version.partition(" ")[0],
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
