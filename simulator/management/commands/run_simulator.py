"""`manage.py run_simulator`: a node for development, without one."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from simulator.running import Options, run
from simulator.world import Beginning


class Command(BaseCommand):
    help = "A simulated LND with a chain and customers of its own, for development. Never for real money."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--home", required=True, type=Path, help="its folder: tls.cert, admin.macaroon, its state")
        parser.add_argument("--listen", default="127.0.0.1:10009", help="host:port, on this machine only")
        parser.add_argument("--block-seconds", type=float, default=0, help="a block comes every so often; 0: never")
        first = parser.add_argument_group("at the first start in its folder")
        first.add_argument("--alias", default="simulator", help="the node's name")
        first.add_argument("--seed", default="", help="any text: the same text, the same keys")

    def handle(self, *, home: Path, listen: str, block_seconds: float, alias: str, seed: str, **_: Any) -> None:
        if settings.LND_NETWORK == "mainnet":
            raise CommandError("The simulator has no real money, and LND_NETWORK is mainnet.")
        if listen.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            raise CommandError("The simulator listens on 127.0.0.1 only.")
        beginning = Beginning(alias=alias, seed=seed.encode(), coins=30)
        options = Options(home, listen, block_seconds, beginning, requires_interceptor=settings.LSPS2_ENABLED)
        try:
            run(options, ready=lambda: self._say(options))
        except RuntimeError as error:  # gRPC's way to say that the port is taken
            raise CommandError(f"It cannot listen at {listen}: {error}") from None

    def _say(self, options: Options) -> None:
        self.stdout.write(f"the simulator is ready at {options.listen}, its folder is {options.home}")
        self.stdout.flush()
