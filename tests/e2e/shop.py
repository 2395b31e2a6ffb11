"""A shop on a real node: what a wallet does over HTTP, and what our engines do meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.test import Client
from django.utils import timezone

from lightning import connection
from lightning.node import LndNode
from orders import marks, queries, reconcile
from orders.advance import advance
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, OrderEvent
from orders.states import OpeningState, OrderState
from tests.regtest.lnd import Lnd
from tests.regtest.network import Network
from tests.regtest.payment import Payment
from tests.regtest.waiting import NeverHappened, until


@dataclass
class Shop:
    """The server in this process, `network.lsp` as its node, `network.buyer` as its customer."""

    network: Network
    client: Client

    @property
    def node(self) -> LndNode:
        return connection.node()

    @property
    def wallet(self) -> Lnd:
        return self.network.buyer

    # What a wallet does

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(path, body, content_type="application/json")
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.client.get(path, query)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def buy(self, **body: Any) -> dict[str, Any]:
        """A quote; asked for again, as wallets do, while the server does not keep up."""
        wanted = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4} | body
        answers: list[Any] = []

        def keeps_up() -> bool:
            answers.append(self.client.post("/channel/buy", wanted, content_type="application/json"))
            return not (answers[-1].status_code == 503 and b"than we keep up with" in answers[-1].content)

        until(keeps_up, "the server keeps up", timeout=60)
        assert answers[-1].status_code == 200, answers[-1].content
        return dict(answers[-1].json())

    def pay(self, quote: dict[str, Any], payer: Lnd | None = None) -> Payment:
        """The wallet pays by Lightning; the node holds the payment."""
        payment = (payer or self.wallet).pay(quote["ln_invoice"])
        hash_ = HoldInvoice.objects.get(order=quote["order_id"]).payment_hash
        until(lambda: self.node.invoice(hash_).state != "open", "the payment is held")
        return payment

    def claim(self, quote: dict[str, Any], wallet: Lnd | None = None, **body: Any) -> dict[str, Any]:
        uri = (wallet or self.wallet).p2p_address
        return self.post("/channel/manual_finalise", order_id=quote["order_id"], node_uri=uri, **body)

    def seen(self, quote: dict[str, Any]) -> dict[str, Any]:
        """What the API says of the order."""
        return self.get("/channel/order", order_id=quote["order_id"])

    # What our engines do

    def turn(self) -> None:
        """One pass of reconcile, and every order that is due."""
        reconcile.look(self.node)
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def run(self, quote: dict[str, Any], state: str, *, mine: bool = False, timeout: float = 60) -> ChannelOrder:
        """The engines turn (and blocks come) until the order is in `state`."""

        def there() -> bool:
            self.turn()
            if self.order(quote).state == state:
                return True
            if mine:
                self.network.mine(1)
            return False

        try:
            until(there, f"the order is {state}", timeout=timeout)
        except NeverHappened as never:
            raise AssertionError(f"{never}\n{self.story(quote)}") from None
        return self.order(quote)

    def hurry(self, quote: dict[str, Any]) -> None:
        """The order's pause is over."""
        ChannelOrder.objects.filter(pk=quote["order_id"]).update(due_at=timezone.now())

    # What is true

    def order(self, quote: dict[str, Any]) -> ChannelOrder:
        return queries.order_or_raise(UUID(quote["order_id"]))

    def journal(self, quote: dict[str, Any]) -> list[str]:
        return list(
            OrderEvent.objects.filter(order=quote["order_id"]).order_by("version").values_list("cause", flat=True)
        )

    def story(self, quote: dict[str, Any]) -> str:
        order = self.order(quote)
        events = OrderEvent.objects.filter(order=order)
        lines = [f"{e.version} {e.from_state}->{e.to_state} {e.cause} {e.facts}" for e in events]
        attempts = [
            f"attempt {o.attempt} {o.state} {o.failure_reason} {o.failure_detail}" for o in order.openings.all()
        ]
        return "\n".join([f"state {order.state} due {order.due_at} now {timezone.now()}", *lines, *attempts])

    def opening(self, quote: dict[str, Any]) -> ChannelOpening:
        return ChannelOpening.objects.get(order=quote["order_id"], state__in=[OpeningState.PUBLISHED, "confirmed"])

    def channel_at(self, lnd: Lnd, quote: dict[str, Any]) -> Any:
        """The order's channel as this node sees it."""
        outpoint = self.opening(quote).funding_outpoint
        return next((c for c in lnd.channels() if c.channel_point == outpoint), None)

    def assert_delivered(self, quote: dict[str, Any], wallet: Lnd | None = None) -> None:
        """One funding, one channel on both sides, paid once, nothing leased, nothing pending, journal without a gap."""
        order = self.order(quote)
        wallet = wallet or self.wallet
        assert order.state == OrderState.OPEN, self.story(quote)
        outpoint = self.opening(quote).funding_outpoint
        memo_channels = [c for c in self.network.lsp.channels() if c.memo == str(order.pk)]
        assert [c.channel_point for c in memo_channels] == [outpoint]
        theirs = self.channel_at(wallet, quote)
        ours = memo_channels[0]
        assert theirs is not None
        assert ours.capacity == theirs.capacity == order.capacity_sat
        assert ours.push_amount_sat == theirs.push_amount_sat == order.client_balance_sat
        fundings = [t for t in self.network.lsp.transactions() if t.label == f"funding:{order.pk}"]
        assert [t.tx_hash for t in fundings] == [outpoint.partition(":")[0]]
        self.assert_journal_whole(quote)
        answer = self.seen(quote)
        assert answer["state"] == 500 and answer["state_name"] == "OPEN"
        assert answer["channel_open_tx"]["transaction_id"] == outpoint.partition(":")[0]

    def assert_nothing_left(self, quote: dict[str, Any]) -> None:
        """No lease, no pending channel, no channel of this order."""
        order = self.order(quote)
        lock = marks.lock_id(order.pk)
        assert not [lease for lease in self.node.leases() if lease.lock_id == lock]
        assert not [c for c in self.node.pending_channels() if c.memo == str(order.pk)]
        assert not [c for c in self.node.channels() if c.memo == str(order.pk)]
        self.assert_journal_whole(quote)

    def assert_journal_whole(self, quote: dict[str, Any]) -> None:
        order = self.order(quote)
        versions = list(OrderEvent.objects.filter(order=order).order_by("version").values_list("version", flat=True))
        assert versions == list(range(1, order.version + 1))
