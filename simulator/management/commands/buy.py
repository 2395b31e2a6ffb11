"""`make buy`: a purchase against the running server, step by step, as a wallet makes it; on the simulated node."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from simulator.control import Control, Refused, is_another_node
from simulator.surprises import ONCHAIN_ALONE, SURPRISES
from simulator.tour import WALLET, Tour


class Command(BaseCommand):
    help = "Buys one channel from the server that runs on the simulated node, and prints each step."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rail", choices=["lightning", "onchain"], default="lightning")
        parser.add_argument("--peer", choices=["online", "offline"], default="online")
        parser.add_argument("--claim", choices=["manual", "lnurl"], default="manual")
        parser.add_argument("--pay", choices=list(SURPRISES), help="otherwise than was asked; what becomes of it")
        parser.add_argument(
            "--invoice", help="only pay this, of an order made otherwise; empty: say whose wallet it is"
        )

    def handle(self, *, rail: str, peer: str, claim: str, pay: str | None, invoice: str | None, **_: Any) -> None:
        node = settings.LSP_HOME / "node"
        if is_another_node(settings.LND_GRPC, node):
            raise CommandError(
                "A node is configured, so the wallet is yours: buy with it, at POST /channel/buy.\n"
                "Without LND_* `make run` has a simulated node, and this a simulated wallet."
            )
        if pay in ONCHAIN_ALONE and rail != "onchain":
            raise CommandError(f"An invoice cannot be paid {pay}: `make buy RAIL=onchain PAY={pay}`.")
        if not (node / "listen").exists():
            raise CommandError("The server does not run on its simulated node: `make run` first.")
        control = Control((node / "listen").read_text(), node)
        try:
            if invoice is not None:
                self._pay(control, invoice)
                return
            self._buy(control, rail, peer, claim, pay)
            control.change_customer(WALLET, presence="online")
        except Refused as error:
            raise CommandError(f"The simulated node does not answer ({error}): `make run` first.") from None
        finally:
            control.close()

    def _pay(self, control: Control, invoice: str) -> None:
        wallet = control.customer(WALLET)
        node = f"{wallet.pubkey}@{wallet.host}"
        if not invoice:
            self._say(f"the wallet's node, to buy a channel for: {node}\nto pay: make pay INVOICE=lnbcrt…")
            return
        paid = control.pay(invoice)
        if paid.state == "FAILED":
            raise CommandError(f"The wallet could not pay ({paid.failure}): INVOICE is a quote's whole ln_invoice.")
        self._say(f"the wallet has paid: it is held, not taken\nits node, for the claim: {node}")

    def _buy(self, control: Control, rail: str, peer: str, claim: str, pay: str | None) -> None:
        control.change_customer(WALLET, presence=peer)
        tour = Tour(control, self._say)
        quote = SURPRISES[pay](tour, rail, claim) if pay else self._as_asked(tour, rail, peer, claim)
        self.stdout.write("\nthe order's own story:\n")
        call_command("order", quote["order_id"], stdout=self.stdout)

    def _as_asked(self, tour: Tour, rail: str, peer: str, claim: str) -> dict[str, Any]:
        quote = tour.buy()
        if rail == "onchain":
            tour.send(quote, quote["total_amount"])
        else:
            tour.pay(quote)
        tour.wait(quote["order_id"], "PAID")
        tour.claim(quote, claim)
        if peer == "offline":
            tour.wait(quote["order_id"], "URI_SET")
            time.sleep(8)
            tour.say("the wallet was offline all the time; now it comes online")
            tour.control.change_customer(WALLET, presence="online")
        tour.until_open(quote)
        return quote

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
