"""One soak as `make soak` asks for it."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.regtest.waiting import NeverHappened, until
from tests.soak.buyers import FATES, Buyer, Lost, Purchase
from tests.soak.table import lines, troubles
from tests.soak.world import World

#: After the last purchase: the longest life is some windows, a refund and its six blocks.
REST_SECONDS: Final = 900
AT_ONCE: Final = 24

#: Orders that are not at rest, by what keeps them.
_RESTLESS: Final = """
SELECT o.id::text, o.state, o.due_at::text FROM orders_channelorder o
WHERE o.state NOT IN ('open', 'closed', 'expired', 'refunded', 'rejected')
   OR EXISTS (SELECT 1 FROM orders_refund r WHERE r.order_id = o.id AND r.state IN ('due', 'signed', 'published'))
   OR EXISTS (SELECT 1 FROM orders_channelopening a WHERE a.order_id = o.id AND a.state NOT IN ('confirmed', 'failed'))
"""


def main() -> int:
    """It has run, and what it came to is printed. Returns 1 where money is astray, or an order never rests."""
    arguments = _arguments()
    world = World(arguments.seed)
    with world.running():
        print(f"{arguments.orders} orders, seed {arguments.seed}, a death every {arguments.deaths:g} s", flush=True)
        with world.blocks():
            purchases = _all_buy(world, arguments)
            is_at_rest = _rests(world)
        books = world.manage("check_books")
        found = [*troubles(world, purchases), *([] if is_at_rest else _restless(world))]
        for line in lines(world, purchases):
            print(line)
        print(books.stdout, books.stderr, *found, sep="\n")
        if found or books.returncode:
            print(f"the logs: {world.keep_logs()}")
    return int(bool(found) or books.returncode != 0)


def _all_buy(world: World, arguments: argparse.Namespace) -> list[Purchase]:
    """All have bought and done what is theirs; meanwhile processes die."""
    rng = random.Random(arguments.seed)
    chosen = rng.choices(list(FATES), weights=list(FATES.values()), k=arguments.orders)
    with world.deaths(arguments.deaths), ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda each: _lives(world, *each), [(fate, rng.getrandbits(64)) for fate in chosen]))


def _lives(world: World, fate: Callable[[Buyer], None], seed: int) -> Purchase:
    buyer = Buyer(world, random.Random(seed), fate.__name__)
    try:
        fate(buyer)
    except Lost as lost:
        buyer.purchase.trouble = str(lost)
    return buyer.purchase


def _rests(world: World) -> bool:
    try:
        until(lambda: not world.server.rows(_RESTLESS), "every order is at rest", timeout=REST_SECONDS, pause=2)
    except NeverHappened:
        return False
    time.sleep(3)  # what has just been recorded is on every page
    return True


def _restless(world: World) -> Iterator[str]:
    for order_id, state, due_at in world.server.rows(_RESTLESS):
        yield f"order {order_id} is {state} and not at rest (due {due_at})"


def _arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--deaths", type=float, default=20.0, help="seconds from one to the next, on the average")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args(words)
