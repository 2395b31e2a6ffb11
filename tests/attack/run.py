"""One attack as `make attack` asks for it, and what it came to."""

from __future__ import annotations

import argparse
import time

from tests.attack.attackers import EVERYONE
from tests.attack.expectations import EXPECTATIONS
from tests.attack.page import lines
from tests.attack.runner import Attack, Plan
from tests.attack.shop import COINS, Shop


def main() -> int:
    """It has run, and what it came to is printed. Returns 1 where something is broken that was held."""
    arguments = _arguments()
    alone = EVERYONE[arguments.attacker] if arguments.attacker else None
    together = tuple(name for name, kind in EVERYONE.items() if kind.is_sociable)
    plan = Plan(
        attackers=(alone.name,) if alone else () if arguments.nobody else together,
        seed=arguments.seed,
        seconds=arguments.minutes * 60,
        addresses=arguments.addresses,
        patience_seconds=min(300.0, arguments.minutes * 6),
        settles_seconds=arguments.settles,
    )
    with Shop(arguments.coins) as shop:
        report = Attack(shop, plan).run()
    for line in lines(report):
        print(line)
    return int(any(each.held and not each.is_met(report) for each in EXPECTATIONS))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--attacker", choices=list(EVERYONE), help="alone; without it all but the one who moves fees")
    parser.add_argument("--nobody", action="store_true", help="only honest buyers")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--addresses", type=int, default=200, help="how many client addresses they have")
    parser.add_argument("--coins", type=int, default=COINS, help="how many the node has, of one BTC together")
    parser.add_argument("--settles", type=float, default=60, help="seconds that buyers have after it is over")
    return parser.parse_args()
