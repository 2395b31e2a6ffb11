"""A shop with one BTC, attackers who take all that costs them nothing, and a clock that a test moves."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.utils import timezone

from lightning import connection
from lightning.node import LndNode
from orders import queries, reconcile
from orders.advance import advance
from orders.models import ChannelOrder
from orders.states import OrderState
from tests.property import records
from tests.property.inside import InsideNetwork, InsideNode, Loop
from tests.simulator.network import SimulatedPeer

MILLION = 1_000_000
FIVE_MINUTES = 300


class Siege:
    """The server in this process, on a simulator with twenty coins."""

    network: Any

    def __init__(self, loop: Loop) -> None:
        records.empty()
        connection._node_of.cache_clear()
        self.network = InsideNetwork(loop)
        node: InsideNode = self.network.lsp
        for _ in range(12):  # eight coins of 5 M are there
            node.control.deposit((node.new_address(), 5 * MILLION))
        node.control.mine(6)
        self.dead: list[SimulatedPeer] = []

    @property
    def node(self) -> LndNode:
        return connection.node()

    # What anybody does

    def ask(self, address: str, sat: int, node_uri: str = "") -> Any:
        body: dict[str, Any] = {"local_balance": sat, "remote_balance": 0, "channel_expiry": 1}
        body |= {"node_uri": node_uri} if node_uri else {}
        return Client(REMOTE_ADDR=address).post("/channel/buy", body, content_type="application/json")

    def buy(self, address: str, sat: int = MILLION, node_uri: str = "") -> dict[str, Any]:
        answer = self.ask(address, sat, node_uri)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def pay(self, quote: dict[str, Any]) -> None:
        self.network.lsp.control.pay(quote["ln_invoice"], payer="buyer", amount_msat=quote["total_amount"] * 1000)

    def claim(self, quote: dict[str, Any], node_uri: str) -> int:
        body = {"order_id": quote["order_id"], "node_uri": node_uri}
        answer = Client(REMOTE_ADDR="203.0.113.250").post(
            "/channel/manual_finalise", body, content_type="application/json"
        )
        return int(answer.status_code)

    @property
    def buyer(self) -> str:
        return str(self.network.buyer.p2p_address)

    def at_once(self, number: int) -> bool:
        """An honest buyer who pays and names his node; whether he gets his channel."""
        quote = self.buy(honest(number))
        self.pay(quote)
        self.see(quote)
        if self.claim(quote, self.buyer) != 200:
            return False
        self.see(quote)
        if self.has_channel(quote):
            self.network.mine(6)
            self.turn()
        return self.has_channel(quote)

    def slowly(self, number: int) -> str:
        """One who takes five minutes to pay, and five more to claim: what he gets."""
        quote = self.buy(honest(number))
        self.wait(FIVE_MINUTES - 1)
        self.pay(quote)
        if self.see(quote).state != OrderState.PAID:
            return "not paid"
        self.wait(6)
        if self.is_back(quote):
            return "back in time"
        self.wait(FIVE_MINUTES - 7)
        if self.claim(quote, self.buyer) != 200:
            return "evicted"
        self.see(quote)
        got = self.has_channel(quote)
        self.network.mine(6)
        self.turn()
        return "channel" if got else "nothing"

    # What attackers do

    def take_unpaid(self, addresses: int, most: int) -> int:
        """Each address asks for the largest channels until it is refused; how many quotes they have."""
        count = 0
        for number in range(addresses):
            for _ in range(most):
                if self.ask(attacker(number), 16 * MILLION - 10_000).status_code != 200:
                    break
                count += 1
        return count

    def hold(self, addresses: int, payments: int, *, claimed: bool = False) -> list[dict[str, Any]]:
        """Payments that are held, all of the stock; claimed for hosts that are not there, or not at all."""
        quotes, size = [], 100 * MILLION // payments - 10_000
        for number in range(payments):
            answer = self.ask(attacker(number % addresses), size)
            if answer.status_code != 200:
                continue
            quotes.append(dict(answer.json()))
            self.pay(quotes[-1])
            self.see(quotes[-1])
            if claimed:
                self.claim(quotes[-1], self.dead_host(number))
        return quotes

    def dead_host(self, number: int) -> str:
        while len(self.dead) <= number:
            self.dead.append(SimulatedPeer(self.network.lsp, f"dead-{len(self.dead)}", presence="offline"))
        return self.dead[number].p2p_address

    # What our engines do, and the clock

    def see(self, quote: dict[str, Any]) -> ChannelOrder:
        """Our engines look at the order until it rests."""
        ChannelOrder.objects.filter(pk=quote["order_id"]).update(due_at=timezone.now())
        advance(queries.order_or_raise(quote["order_id"]).pk)
        return queries.order_or_raise(quote["order_id"])

    def turn(self) -> None:
        reconcile.look(self.node)
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def wait(self, seconds: int) -> None:
        """So much time passes, and the engines turn once."""
        self.network.lsp.control.pass_time(seconds)
        records.age(seconds)
        self.turn()

    # What came of it

    def has_channel(self, quote: dict[str, Any]) -> bool:
        return self.order(quote).state in {OrderState.OPENING, OrderState.OPEN}

    def is_back(self, quote: dict[str, Any]) -> bool:
        hash_ = self.order(quote).hold_invoice.payment_hash
        return self.order(quote).state == OrderState.REFUNDED and str(self.node.invoice(hash_).state) == "canceled"

    def order(self, quote: dict[str, Any]) -> ChannelOrder:
        return queries.order_or_raise(quote["order_id"])

    def stop(self) -> None:
        self.network.stop()


def attacker(number: int) -> str:
    return f"198.18.{number // 250}.{number % 250 + 1}"


def honest(number: int) -> str:
    return f"203.0.113.{number + 1}"
