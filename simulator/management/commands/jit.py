"""`make jit`: a first payment received over a channel that there was not, step by step; on the simulated node."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from simulator.control import Control, Refused, is_another_node
from simulator.first_payment import FirstPayment


class Command(BaseCommand):
    help = (
        "A wallet without a channel is paid, by the server that runs on the simulated node, and each step is printed."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--takes", choices=["settles", "fails"], default="settles", help="what the wallet does with its payment"
        )

    def handle(self, *, takes: str, **_: Any) -> None:
        node = settings.LSP_HOME / "node"
        if is_another_node(settings.LND_GRPC, node):
            raise CommandError(
                "A node is configured, so wallets are real: docs/wallets.md says what they ask by LSPS2.\n"
                "Without LND_* `make run` has a simulated node, and this a simulated wallet."
            )
        if not (node / "listen").exists():
            raise CommandError("The server does not run on its simulated node: `make run` first.")
        control = Control((node / "listen").read_text(), node)
        try:
            order_id = FirstPayment(control, self._say, takes=takes).run()
        except Refused as error:
            raise CommandError(f"The simulated node does not do that ({error}): `make run` first.") from None
        finally:
            control.close()
        self.stdout.write("\nthe order's own story:\n")
        call_command("order", order_id, stdout=self.stdout)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
