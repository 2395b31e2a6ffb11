"""Those who buy: each has one fate. A server that is down is asked again; a payment that never left is sent again."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.attack.client import Answer, Client
from tests.e2e.test_refunds import somewhere
from tests.factories import pubkey
from tests.regtest.payment import NeverLeft, Payment
from tests.soak.world import World

PATIENCE_SECONDS: Final = 180.0
#: A quote that was asked of a process that died counts as under way for two minutes; and whoever comes then may be told
#: that we are busy.
_PATIENCE_FOR_A_QUOTE_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 0.5
#: Not now, but soon: it is down, busy, or has not seen the payment yet.
_LATER: Final = frozenset({409, 429, 502, 503})


class Lost(Exception):
    """The server did not say in time what it must say."""


@dataclass
class Purchase:
    """One order, and what its buyer did."""

    fate: str
    quote: dict[str, Any] = field(default_factory=dict)
    payment: Payment | None = None
    trouble: str = ""

    @property
    def order_id(self) -> str:
        return str(self.quote.get("order_id", ""))


class Buyer:
    """What one does, step by step."""

    def __init__(self, world: World, rng: random.Random, fate: str) -> None:
        self.world, self.rng = world, rng
        self.client: Client = world.server.client(f"198.18.{rng.randrange(256)}.{rng.randrange(1, 255)}")
        self.purchase = Purchase(fate)

    def buys(self, *, says_where: bool = True) -> None:
        body: dict[str, Any] = {"local_balance": 200_000, "remote_balance": 100_000, "channel_expiry": 1}
        if says_where:
            body["refund_onchain_address"] = somewhere()
        key = str(uuid.uuid4())
        patience = _PATIENCE_FOR_A_QUOTE_SECONDS
        self.purchase.quote = self._answered("/channel/buy", body, patience=patience, Idempotency_Key=key).said

    def pays(self, *, percent: int = 100) -> None:
        """Over Lightning. One that never left, because the node was down, is sent again."""
        invoice, amount = self.purchase.quote["ln_invoice"], self.purchase.quote["total_amount"]
        deadline, why = time.monotonic() + PATIENCE_SECONDS, ""
        while time.monotonic() < deadline:
            try:
                self.purchase.payment = self.world.buyer.pay(invoice, 0 if percent == 100 else amount * percent * 10)
            except NeverLeft as problem:
                why = str(problem)
            else:
                return
            time.sleep(_PAUSE_SECONDS)
        raise Lost(f"no way to the node: {why}")

    def sends(self, *, percent: int = 100) -> None:
        """On chain."""
        self.world.send(self.purchase.quote["btc_address"], self.purchase.quote["total_amount"] * percent // 100)

    def claims(self, uri: str = "", *, was: str = "CREATED") -> None:
        """Names a node, once the order is paid; one that ended otherwise meanwhile is not claimed."""
        state = self._until(lambda order: order["state_name"] != was, "paid")
        if state["state_name"] == "PAID":
            uri = uri or self.rng.choice(self.world.wallets).p2p_address
            self._answered("/channel/manual_finalise", {"order_id": self.purchase.order_id, "node_uri": uri}, 400)

    def says_where(self) -> None:
        """Where the money is to go, with the order's token."""
        quote = self.purchase.quote
        named = {name: quote[name] for name in ("order_id", "order_token")}
        self._answered("/channel/refund_address", {**named, "refund_onchain_address": somewhere()})

    def waits_until_over(self) -> None:
        self._until(lambda order: order["state_name"] == "EXPIRED", "expired")

    def _until(self, there: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                order = self.client.order(self.purchase.order_id)
                if there(order):
                    return order
            time.sleep(_PAUSE_SECONDS)
        raise Lost(f"not {what}")

    def _answered(
        self, path: str, body: dict[str, Any], *fine: int, patience: float = PATIENCE_SECONDS, **headers: str
    ) -> Answer:
        deadline, last = time.monotonic() + patience, "no answer"
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                answer = self.client.ask("POST", path, body, **headers)
                if answer.status == 200 or answer.status in fine:
                    return answer
                last = f"{answer.status} {answer.said}"
                if answer.status not in _LATER:
                    break
            time.sleep(_PAUSE_SECONDS)
        raise Lost(f"{path}: {last}")


def lightning(buyer: Buyer) -> None:
    buyer.buys()
    buyer.pays()
    buyer.claims()


def on_chain(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends()
    buyer.claims()


def too_much(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends(percent=150)
    buyer.claims()


def too_much_held(buyer: Buyer) -> None:
    buyer.buys()
    buyer.pays(percent=160)
    buyer.claims()


def too_little(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends(percent=40)


def in_two_parts(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends(percent=40)
    buyer.sends(percent=60)
    buyer.claims()


def both_ways(buyer: Buyer) -> None:
    buyer.buys()
    buyer.pays()
    buyer.sends()
    buyer.claims()


def late(buyer: Buyer) -> None:
    buyer.buys()
    buyer.waits_until_over()
    buyer.sends()
    buyer.claims(was="EXPIRED")


def late_and_too_little(buyer: Buyer) -> None:
    buyer.buys()
    buyer.waits_until_over()
    buyer.sends(percent=40)


def never_claimed(buyer: Buyer) -> None:
    buyer.buys()
    buyer.pays()


def never_claimed_on_chain(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends()


def for_a_dead_host(buyer: Buyer) -> None:
    buyer.buys()
    buyer.pays()
    buyer.claims(_nowhere(buyer))


def for_a_dead_host_on_chain(buyer: Buyer) -> None:
    buyer.buys()
    buyer.sends()
    buyer.claims(_nowhere(buyer))


def no_address_until_later(buyer: Buyer) -> None:
    buyer.buys(says_where=False)
    buyer.sends(percent=40)
    buyer.waits_until_over()
    buyer.says_where()


def unpaid(buyer: Buyer) -> None:
    buyer.buys()


def _nowhere(buyer: Buyer) -> str:
    return f"{pubkey(buyer.rng.randrange(10_000, 1_000_000))}@127.0.0.1:9"


#: How many of a hundred.
FATES: Final[dict[Callable[[Buyer], None], int]] = {
    lightning: 24, on_chain: 14, too_much: 8, too_much_held: 5, too_little: 6, in_two_parts: 5, both_ways: 8, late: 5,
    late_and_too_little: 4, never_claimed: 5, never_claimed_on_chain: 4, for_a_dead_host: 4,
    for_a_dead_host_on_chain: 3, no_address_until_later: 3, unpaid: 2,
}  # fmt: skip
