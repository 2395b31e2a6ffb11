"""`make buy`: a purchase against the running server, step by step, as a wallet makes it; on the simulated node."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from simulator.control import Control, Refused

_PATIENCE_SECONDS = 120
_WALLET = "alice"


class Command(BaseCommand):
    help = "Buys one channel from the server that runs on the simulated node, and prints each step."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rail", choices=["lightning", "onchain"], default="lightning")
        parser.add_argument("--peer", choices=["online", "offline"], default="online")
        parser.add_argument("--claim", choices=["manual", "lnurl"], default="manual")
        parser.add_argument("--pay", metavar="INVOICE", help="only pay this invoice, of an order made otherwise")

    def handle(self, *, rail: str, peer: str, claim: str, pay: str | None, **_: Any) -> None:
        if settings.LND_GRPC:
            raise CommandError(
                "A node is configured, so the wallet is yours: buy with it, at POST /channel/buy.\n"
                "Without LND_* `make run` has a simulated node, and this a simulated wallet."
            )
        node = settings.LSP_HOME / "node"
        if not (node / "listen").exists():
            raise CommandError("The server does not run on its simulated node: `make run` first.")
        control = Control((node / "listen").read_text(), node)
        try:
            if pay is not None:
                self._pay(control, pay)
                return
            self._buy(control, rail, peer, claim)
            control.change_customer(_WALLET, presence="online")
        except Refused as error:
            raise CommandError(f"The simulated node does not answer ({error}): `make run` first.") from None
        finally:
            control.close()

    def _pay(self, control: Control, invoice: str) -> None:
        control.pay(invoice)
        wallet = control.customer(_WALLET)
        self._say(f"the wallet has paid: it is held, not taken\nits node, for the claim: {wallet.pubkey}@{wallet.host}")

    def _buy(self, control: Control, rail: str, peer: str, claim: str) -> None:
        control.change_customer(_WALLET, presence=peer)
        body = {"local_balance": 500_000, "remote_balance": 20_000, "channel_expiry": 4}
        quote = self._ask("POST", "/channel/buy", body, shows=("order_id", "price", "total_amount"))
        order_id = quote["order_id"]
        if rail == "onchain":
            txid = control.deposit((quote["btc_address"], quote["total_amount"]))
            self._say(f"the wallet sends {quote['total_amount']} sat to {quote['btc_address']}\n    transaction {txid}")
        else:
            control.pay(quote["ln_invoice"])
            self._say(f"the wallet pays the invoice: {quote['total_amount']} sat are held, not taken")
        self._wait(order_id, "PAID")
        self._claim(control, order_id, claim, quote)
        if peer == "offline":
            self._wait(order_id, "URI_SET")
            time.sleep(8)
            self._say("the wallet was offline all the time; now it comes online")
            control.change_customer(_WALLET, presence="online")
        self._wait(order_id, "OPENING", later=("OPEN",))
        order = self._wait(order_id, "OPEN")
        funding = order["channel_open_tx"]["transaction_id"]
        self._say(f"the channel {order['lightning_channel_id']} is open, funded by {funding}")
        self.stdout.write("\nthe order's own story:\n")
        call_command("order", order_id, stdout=self.stdout)

    def _claim(self, control: Control, order_id: str, claim: str, quote: dict[str, Any]) -> None:
        wallet = control.customer(_WALLET)
        if claim == "lnurl":
            self._say(f"the wallet reads the LNURL {quote['lnurl_channel'][:40]}…")
            offer = self._ask("GET", "/lnurl/channel", {"order_id": order_id}, shows=("tag", "callback", "uri"))
            self._ask(
                "GET",
                "/lnurl/channel",
                {"k1": offer["k1"], "remote_id": f"{wallet.pubkey}@{wallet.host}", "private": "1"},
                shows=("status",),
            )
        else:
            uri = f"{wallet.pubkey}@{wallet.host}"
            self._ask("POST", "/channel/manual_finalise", {"order_id": order_id, "node_uri": uri}, shows=("node_uri",))

    def _wait(self, order_id: str, state: str, later: tuple[str, ...] = ()) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            order = self._call("GET", "/channel/order", {"order_id": order_id})
            if order["state_name"] in {state, *later}:
                self._say(f"the order is {order['state_name']} ({order['state']})")
                return order
            time.sleep(0.2)
        raise CommandError(f"The order {order_id} did not become {state} in {_PATIENCE_SECONDS} s.")

    def _ask(self, method: str, path: str, fields: dict[str, Any], *, shows: tuple[str, ...]) -> dict[str, Any]:
        answer = self._call(method, path, fields)
        told = "\n".join(f"    {name}: {answer.get(name)}" for name in shows)
        self._say(f"{method} {path} {json.dumps(fields)}\n{told}")
        return answer

    def _call(self, method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        url = f"http://{settings.LISTEN_HOST}:{settings.LISTEN_PORT}{path}"
        query = "?" + urllib.parse.urlencode(fields) if method == "GET" else ""
        body = None if method == "GET" else json.dumps(fields).encode()
        request = urllib.request.Request(url + query, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise CommandError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        except OSError as error:
            raise CommandError(f"The server does not answer at {url}: {error}. `make run` first.") from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
