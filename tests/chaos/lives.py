"""The lives that an order can have on the simulator, while the server's processes are killed and started again.

Nothing here advances an order: that is the processes' work. The test is the buyer, the staff, the chain, and what
starts a service again that died. Reconcile is triggered, not awaited.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from orders import actors, nudges, queries
from orders.models import ChannelOpening, ChannelOrder, Heartbeat, OrderEvent
from orders.operations import ending
from orders.states import LIVE_OPENINGS, OpeningState, OrderState
from simulator.control import FAIL
from tests.chaos.mortal import WORKER
from tests.chaos.processes import Processes
from tests.property.inside import InsideNetwork

#: Between two nudges: a healthy step takes less.
_HURRY_SECONDS = 0.15
_HTTP_SECONDS = 20
#: The queue can hang when one of its processes is killed with a lock in its hands: then the worker reports no more.
_SILENT_SECONDS = 8.0


class NeverEnded(AssertionError):
    """The life did not come to its end."""


@dataclass
class Sale:
    """One order, its buyer, and the server that sells it."""

    network: InsideNetwork
    processes: Processes
    patience_seconds: float
    #: What else goes wrong is looked after at each turn.
    tend: Callable[[], None] = lambda: None
    #: The order that is nudged, and all that were bought.
    order_id: str = ""
    bought: list[str] = field(default_factory=list)
    #: Those that gave way to it.
    gave_way: set[str] = field(default_factory=set)
    turns: int = 0
    _hurried_at: float = 0
    _beat: tuple[object, float] = (None, 0)

    @property
    def control(self) -> Any:
        return self.network.lsp.control

    # The buyer

    def buy(self, customer: str | None, sat: int = 300_000) -> dict[str, Any]:
        """As a wallet does that hears nothing: once more with the same key, or with another where that one is lost."""
        body: dict[str, Any] = {"local_balance": sat, "remote_balance": 0, "channel_expiry": 4}
        if customer:
            body["node_uri"] = self.network.customers[customer].p2p_address
        key = str(uuid4())

        def bought() -> dict[str, Any] | None:
            nonlocal key
            status, answer = self._post("/channel/buy", body, {"Idempotency-Key": key})
            if status == 409:
                key = str(uuid4())  # the first request died before there was an order
            assert status in {0, 200, 409, 503}, answer
            return answer if status == 200 else None

        quote: dict[str, Any] = self.until(bought, "the order is bought")
        self.order_id = quote["order_id"]
        self.bought.append(self.order_id)
        return quote

    def claim(self, customer: str) -> None:
        body = {"order_id": self.order_id, "node_uri": self.network.customers[customer].p2p_address}

        def claimed() -> bool:
            status, answer = self._post("/channel/manual_finalise", body, {})
            assert status in {0, 200, 503}, answer
            return status == 200

        self.until(claimed, "the order is claimed")

    def pay(self, quote: dict[str, Any]) -> None:
        self.control.pay(quote["ln_invoice"], payer="buyer")

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        """Status and answer; 0 where there was none."""
        link = http.client.HTTPConnection(*self.processes.address, timeout=_HTTP_SECONDS)
        try:
            link.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            link.close()

    # What is waited for

    def until(self, there: Callable[[], Any], what: str, *, mining: bool = False) -> Any:
        """The first truthy answer; meanwhile who died lives again, pauses are over, and blocks come."""
        deadline = time.monotonic() + self.patience_seconds
        while not (found := there()):
            if time.monotonic() > deadline:
                raise NeverEnded(f"never: {what}")
            self.tend()
            self.processes.tend()
            self._hurry(mining)
            time.sleep(0.02)
        return found

    def _hurry(self, mining: bool) -> None:
        if time.monotonic() < self._hurried_at + _HURRY_SECONDS:
            return
        self._hurried_at, self.turns = time.monotonic(), self.turns + 1
        if mining:
            self.network.mine(1 if self._is_half_way() else 3)
        if self.order_id:
            nudges.nudge_all([UUID(self.order_id)])
        if WORKER in self.processes.roles:
            self._watch_the_worker()
            if not _something_is_queued():
                async_task("orders.tasks.reconcile_all")

    def _watch_the_worker(self) -> None:
        """As the supervisor does, or a unit of systemd's: a worker that reports no more is replaced."""
        beat = Heartbeat.objects.filter(name="reconcile").values_list("at", flat=True).first()
        if not self._beat[1] or beat != self._beat[0]:
            self._beat = (beat, time.monotonic())
        elif time.monotonic() > self._beat[1] + _SILENT_SECONDS:
            self.processes.kill(WORKER)
            self._beat = (beat, time.monotonic())

    def _is_half_way(self) -> bool:
        """An attempt runs: blocks would only count its payment down."""
        return ChannelOpening.objects.filter(state__in=LIVE_OPENINGS - {OpeningState.PUBLISHED}).exists()

    def delivered(self) -> None:
        def is_deep() -> bool:
            return "funding_confirmed" in self.journal() and self.state() == OrderState.OPEN

        self.until(is_deep, "delivered", mining=True)

    def refunded(self) -> None:
        self.until(lambda: self.state() == OrderState.REFUNDED, "refunded")

    # What is true

    def state(self, order_id: str = "") -> str:
        return str(ChannelOrder.objects.values_list("state", flat=True).get(pk=order_id or self.order_id))

    def journal(self) -> list[str]:
        events = OrderEvent.objects.filter(order=self.order_id).order_by("version")
        return list(events.values_list("cause", flat=True))

    def story(self) -> str:
        """For who reads why a test has failed."""
        return "\n".join([self._story(order_id) for order_id in self.bought]) or "nothing was bought"

    def _story(self, order_id: str) -> str:
        order = queries.order_or_raise(UUID(order_id))
        events = [f"{e.version} {e.from_state}->{e.to_state} {e.cause} {e.facts}" for e in order.events.all()]
        return "\n".join([f"order {order.pk} {order.state} due {order.due_at} now {timezone.now()}", *events])


def _something_is_queued() -> bool:
    """What a dead worker had begun does not count: the queue keeps it back for minutes."""
    return OrmQ.objects.filter(lock__lte=timezone.now()).exists()


Life = Callable[[Sale], None]

#: What the server is set to, where that is not what it is set to anyway.
SETTINGS: dict[str, dict[str, Any]] = {
    "refused": {"GIVE_UP_GRACE_SECONDS": 0},
    "begun_anew": {"FRESH_ATTEMPT_SECONDS": 0},
    "put_out": {"PUBLISH_PATIENCE_SECONDS": 0},
    "pays_as_it_gives_way": {"PLACE_SECONDS": 1},
}


def named_at_purchase(sale: Sale) -> None:
    """Paid by Lightning, the node named when it was bought."""
    sale.pay(sale.buy("buyer"))
    sale.delivered()


def claimed_later(sale: Sale) -> None:
    """Paid by Lightning, and claimed when it is paid."""
    sale.pay(sale.buy(None))
    sale.until(lambda: sale.state() == OrderState.PAID, "paid")
    sale.claim("buyer")
    sale.delivered()


def paid_on_chain(sale: Sale) -> None:
    """The Lightning invoice, which nobody pays, is dead in the end."""
    quote = sale.buy("alice")
    sale.control.deposit((quote["btc_address"], quote["total_amount"]))
    sale.delivered()
    sale.control.pass_time(2 * 3600)
    sale.until(lambda: "invoice_cancelled" in sale.journal(), "the invoice is dead")


def cancelled(sale: Sale) -> None:
    """Paid, never claimed, and cancelled by staff: the payment goes back."""
    sale.pay(sale.buy(None))
    sale.until(lambda: sale.state() == OrderState.PAID, "paid")
    ending.cancel(UUID(sale.order_id), actor=actors.staff("ada"))
    sale.refunded()


def refused(sale: Sale) -> None:
    """The buyer's node wants no channel: the payment goes back."""
    sale.network.customers["buyer"].change(refusal="we only accept channels from friends")
    sale.pay(sale.buy("buyer"))
    sale.refunded()


def begun_anew(sale: Sale) -> None:
    """The first attempt falls silent after both sides have seen the funding, and is cancelled."""
    buyer = sale.network.customers["buyer"]
    buyer.change(withholds_signature=True)
    sale.pay(sale.buy("buyer"))
    sale.until(lambda: "opening_cancelling" in sale.journal(), "cancelled")
    buyer.change(withholds_signature=False)
    sale.delivered()


def put_out(sale: Sale) -> None:
    """The node refuses the signed funding for longer than we wait: it is put out, and another one delivers."""
    sale.control.add_fault("PublishTransaction", FAIL, text="a sentence that no table knows", times=0)
    sale.pay(sale.buy("buyer"))
    ends = {"funding_put_out", "funding_published"}  # a node that was restarted refuses nothing any more
    sale.until(lambda: ends.intersection(sale.journal()), "put out")
    sale.control.end_faults("PublishTransaction")
    sale.delivered()


LIVES: dict[str, Life] = {
    life.__name__: life
    for life in (named_at_purchase, claimed_later, paid_on_chain, cancelled, refused, begun_anew, put_out)
}
#: Their payment goes back.
RETURNED = frozenset({"cancelled", "refused"})
