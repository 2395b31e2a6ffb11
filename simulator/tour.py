"""What a wallet does against the running server, step by step, each of them said."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from simulator import scripts
from simulator.control import Control

WALLET: Final = "alice"
_PATIENCE_SECONDS: Final = 120
_FINAL_BLOCKS: Final = 6
#: The server reads the deposits of the block that comes meanwhile, and then looks at the order.
_SOON: Final = timedelta(seconds=2)


class Tour:
    """One purchase. Every method raises CommandError where the server refuses, is away, or takes too long."""

    def __init__(self, control: Control, say: Callable[[str], None]) -> None:
        self.control = control
        self.say = say

    # The server

    def ask(self, method: str, path: str, fields: dict[str, Any], *, shows: tuple[str, ...]) -> dict[str, Any]:
        """The answer, said with the request."""
        answer = self.call(method, path, fields)
        told = "\n".join(f"    {name}: {answer.get(name)}" for name in shows)
        self.say(f"{method} {path} {json.dumps(fields)}\n{told}")
        return answer

    def call(self, method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer, not said."""
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

    def wait(self, order_id: str, state: str, later: tuple[str, ...] = ()) -> dict[str, Any]:
        """The order, as soon as it is in the state."""
        order = self.until(order_id, lambda seen: seen["state_name"] in {state, *later}, f"become {state}")
        self.say(f"the order is {order['state_name']} ({order['state']})")
        return order

    def until(self, order_id: str, is_so: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """The order, as soon as that is so of it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            order = self.call("GET", "/channel/order", {"order_id": order_id})
            if is_so(order):
                return order
            time.sleep(0.2)
        raise CommandError(f"The order {order_id} did not {what} in {_PATIENCE_SECONDS} s.")

    # The wallet

    def buy(self, **more: Any) -> dict[str, Any]:
        """The order, as its buyer gets it."""
        body = {"local_balance": 500_000, "remote_balance": 20_000, "channel_expiry": 4, **more}
        return self.ask("POST", "/channel/buy", body, shows=("order_id", "price", "total_amount"))

    def send(self, quote: dict[str, Any], amount_sat: int) -> None:
        """The wallet's transaction is in the mempool."""
        txid = self.control.deposit((quote["btc_address"], amount_sat))
        self.say(f"the wallet sends {amount_sat} sat to {quote['btc_address']}\n    transaction {txid}")

    def pay(self, quote: dict[str, Any], more_sat: int = 0) -> None:
        """The node holds the payment."""
        amount_sat = quote["total_amount"] + more_sat
        self.control.pay(quote["ln_invoice"], amount_msat=amount_sat * 1000)
        self.say(f"the wallet pays the invoice: {amount_sat} sat are held, not taken")

    def claim(self, quote: dict[str, Any], how: str = "manual") -> None:
        """The order knows the wallet's node."""
        wallet = self.control.customer(WALLET)
        uri = f"{wallet.pubkey}@{wallet.host}"
        named = {"order_id": quote["order_id"]}
        if how == "manual":
            self.ask("POST", "/channel/manual_finalise", named | {"node_uri": uri}, shows=("node_uri",))
            return
        self.say(f"the wallet reads the LNURL {quote['lnurl_channel'][:40]}…")
        offer = self.ask("GET", "/lnurl/channel", named, shows=("tag", "callback", "uri"))
        said = {"k1": offer["k1"], "remote_id": uri, "private": "1"}
        self.ask("GET", "/lnurl/channel", said, shows=("status",))

    def until_open(self, quote: dict[str, Any]) -> None:
        """The channel is usable."""
        self.wait(quote["order_id"], "OPENING", later=("OPEN",))
        order = self.wait(quote["order_id"], "OPEN")
        funding = order["channel_open_tx"]["transaction_id"]
        self.say(f"the channel {order['lightning_channel_id']} is open, funded by {funding}")

    # The chain and the clock

    def blocks(self, number: int = _FINAL_BLOCKS) -> None:
        """They came at once, not every few seconds."""
        self.control.mine(number)
        self.say(f"{number} blocks come")

    def time_is_over(self, order_id: str) -> None:
        """The order's time to be paid ends now: only on a simulated node would anybody wait for that so shortly."""
        now = timezone.now()
        orders: Any = apps.get_model("orders", "ChannelOrder")
        orders.objects.filter(pk=order_id).update(expires_at=now, due_at=now + _SOON)
        self.control.mine(1)
        self.say("a quarter of an hour passes")

    def until_back(self, quote: dict[str, Any]) -> None:
        """What is the buyer's again is in a block, on its way to him."""
        order_id = quote["order_id"]
        sent = self.until(order_id, lambda seen: seen["refund_tx"], "send anything back")
        self.say(f"{sent['refund_amount']} sat go back\n    transaction {sent['refund_tx']}")
        self.control.mine(1)
        self.until(order_id, lambda seen: seen["refunded_at"], "see that in a block")
        self.say("that is in a block: the buyer has it")


def somewhere(name: str) -> str:
    """An address of the wallet's."""
    return scripts.address(scripts.p2wpkh(scripts.key(b"a wallet of a buyer's", name)))
