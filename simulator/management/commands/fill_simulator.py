"""`manage.py fill_simulator`: a simulated node becomes an old one, with thousands of channels."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from simulator.control import Control, Refused


class Command(BaseCommand):
    help = "A simulated LND that runs has so much at rest from now on, in answers as large as LND's."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--home", required=True, type=Path, help="the simulator's folder")
        parser.add_argument("--at", default="127.0.0.1:10009", help="where it listens, host:port")
        parser.add_argument("--channels", type=int, default=10_000, help="open ones; four of five peers are connected")
        parser.add_argument("--closed-channels", type=int, default=10_000)
        parser.add_argument("--invoices", type=int, default=1_000_000, help="settled ones")
        parser.add_argument("--transactions", type=int, default=100_000, help="of the wallet, all mined")
        parser.add_argument("--blocks", type=int, default=8_000, help="so many come now, with the transactions in them")

    def handle(self, *, home: Path, at: str, **given: Any) -> None:
        names = ("channels", "closed_channels", "invoices", "transactions", "blocks")
        amounts = {name: given[name] for name in names}
        if min(amounts.values()) < 0:
            raise CommandError("There is no less than nothing.")
        try:
            control = Control(at, home)
            control.fill(**amounts)
        except (OSError, Refused) as error:
            raise CommandError(f"The simulator at {at} cannot be filled: {error}") from None
        control.close()
        self.stdout.write(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in amounts.items()))
