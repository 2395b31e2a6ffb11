"""A shop where an order goes on when it is told to, and stops where it is told to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from lightning import connection, transactions
from lightning.errors import LightningError
from lightning.negotiation import Negotiation
from lightning.types import Outpoint
from orders import keys, marks, reconcile
from orders.advance import advance
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, WalletTransaction
from simulator.world import World
from tests.e2e.shop import Shop
from tests.property.dying import Death
from tests.property.inside import InsideNetwork, Loop
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedPeer
from tests.upgrade.database import later

HOUR, DAY = 3600, 24 * 3600
USUAL_FEES = (2_530, 253)
_STEER = "/admin/orders/channelorder/steer/"


class Broken:
    """The node, at whose so-manieth call `at` something ends our process: before the call, or after it was done."""

    def __init__(self, node: Any, at: str, problem: BaseException, *, number: int = 1, after: bool = False) -> None:
        self._node, self._at, self._problem, self._left, self._after = node, at, problem, number, after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._node, name)
        return self._breaking(value) if name == self._at else value

    def _breaking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def breaking(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise self._problem
            result = call(*args, **kwargs)
            if self._left:
                return result
            if isinstance(result, Negotiation):
                result.close()  # nobody will read it any more
            raise self._problem

        return breaking


class Stage:
    """The shop, its node, and every order by its nickname, which is also its customer's."""

    def __init__(self, loop: Loop, settings: Any) -> None:
        self.settings = settings
        self.network = InsideNetwork(loop)
        self.node_is_at(settings)
        self.shop = Shop(self.network, Client())  # type: ignore[arg-type]  # all that it asks of a network
        self.quotes: dict[str, dict[str, Any]] = {}
        self.services: dict[str, str] = {}
        self.ada = User.objects.create_superuser("ada")

    def node_is_at(self, settings: Any) -> None:
        lsp = self.network.lsp
        settings.LND_GRPC = lsp.grpc_address
        settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)

    @property
    def control(self) -> Any:
        return self.network.lsp.control

    @property
    def node(self) -> Any:
        return connection.node()

    # Buyers

    def customer(self, name: str, **behaviour: Any) -> SimulatedPeer:
        return SimulatedPeer(self.network.lsp, name, **behaviour)

    def buy(self, name: str, *, peer: SimulatedPeer | None = None, key: str = "", **body: Any) -> None:
        """With a peer the order is claimed as soon as it is paid."""
        body = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4, **body}
        body |= {"node_uri": peer.p2p_address} if peer else {}
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.shop.client.post("/channel/buy", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200, (name, answer.content)
        self.quotes[name] = answer.json()

    def pay(self, name: str, *, more_sat: int = 0) -> None:
        quote = self.quotes[name]
        self.control.pay(quote["ln_invoice"], payer="buyer", amount_msat=(quote["total_amount"] + more_sat) * 1000)

    def deposit(self, name: str, *, more_sat: int = 0, replaceable: bool = False) -> str:
        quote = self.quotes[name]
        payment = (quote["btc_address"], quote["total_amount"] + more_sat)
        return str(self.control.deposit(payment, replaceable=replaceable))

    def claim(self, name: str, *, host: str = "", **body: Any) -> None:
        peer = self.customer(name)
        uri = f"{peer.pubkey}@{host or peer.p2p_host}"
        self.shop.post("/channel/manual_finalise", order_id=self.quotes[name]["order_id"], node_uri=uri, **body)

    def lnurl(self, name: str, **query: Any) -> None:
        remote = self.customer(name).p2p_address
        answer = self.shop.get("/lnurl/channel", k1=self.quotes[name]["order_id"], remoteid=remote, **query)
        assert answer["status"] == "OK", answer

    def held(self, name: str, *, peer: SimulatedPeer | None = None, more_sat: int = 0, **body: Any) -> None:
        """Bought, and its Lightning payment is held."""
        self.buy(name, peer=peer, **body)
        self.pay(name, more_sat=more_sat)
        self.step(name, times=1)

    def due(self, name: str, wanted: dict[str, Any] | None = None, **behaviour: Any) -> None:
        """Held and claimed for a customer of its own who behaves so: the next step is its first attempt."""
        self.buy(name, peer=self.customer(name, **behaviour), **(wanted or {}))
        self.pay(name)
        self.cut(name, "transactions")  # the first call of an attempt

    def deposited(self, name: str, *, peer: SimulatedPeer | None = None, more_sat: int = 0, **body: Any) -> None:
        """Bought, and its deposit counts."""
        self.buy(name, peer=peer, **body)
        self.deposit(name, more_sat=more_sat)
        self.mine(1)
        self.step(name)

    # Staff

    def deed(self, name: str, deed: str) -> None:
        """Staff do this to the order, at its page."""
        before, browser = self.order(name).version, Client()
        browser.force_login(self.ada)
        form = {"deed": deed, "order": self.quotes[name]["order_id"], "sure": "yes"}
        answer = browser.post(_STEER, form)
        told = [str(message) for message in get_messages(answer.wsgi_request)]
        assert answer.status_code == 302 and self.order(name).version > before, (name, deed, told)

    # Our engines

    def step(self, name: str, *, times: int = 2, node: Any = None) -> None:
        """The order's pause is over, and it is looked at."""
        for _ in range(times):
            self.shop.hurry(self.quotes[name])
            advance(self.order(name).pk, node=node)

    def cut(self, name: str, at: str, *, number: int = 1, after: bool = False) -> None:
        """Our process dies at this call to the node, while it looks at the order."""
        try:
            self.step(name, times=1, node=Broken(self.node, at, Death(), number=number, after=after))
        except Death:
            database.close()
            return
        raise AssertionError(f"{name}: {at} is not called\n{self.shop.story(self.quotes[name])}")

    def break_at(self, name: str, at: str) -> None:
        """A defect of the server shows at this call."""
        try:
            self.step(name, times=1, node=Broken(self.node, at, RuntimeError("a defect")))
        except RuntimeError:
            return
        raise AssertionError(f"{name}: {at} is not called")

    def look(self) -> None:
        """The node is read in bulk, as every minute."""
        reconcile.look(self.node)

    # The world

    def mine(self, blocks: int) -> None:
        """Then the node is read, as every minute."""
        self.network.mine(blocks)
        self.look()

    def age(self, seconds: int) -> None:
        """So much time has passed, for the node and for us."""
        self.control.pass_time(seconds)
        later(-seconds)
        self.look()

    def clock_is_ahead(self, name: str) -> None:
        """By our clock, which is ahead of the node's, the order's time is over."""
        ChannelOrder.objects.filter(pk=self.order(name).pk).update(expires_at=timezone.now())
        self.look()

    @contextmanager
    def fees(self, estimate: int, minimum: int) -> Iterator[None]:
        self.control.set_fees(estimate, minimum)
        yield
        self.control.set_fees(*USUAL_FEES)

    @contextmanager
    def set_to(self, **values: Any) -> Iterator[None]:
        """The server runs with other settings meanwhile."""
        before = {name: getattr(self.settings, name) for name in values}
        for name, value in values.items():
            setattr(self.settings, name, value)
        yield
        for name, value in before.items():
            setattr(self.settings, name, value)

    def top_up(self, coins: int, coin_sat: int) -> None:
        """The operator has sent so many coins to the node, long enough ago that no order looks back so far."""
        self.control.deposit(*((self.node.new_address(), coin_sat) for _ in range(coins)))
        self.network.mine(12)

    def restart_node(self) -> None:
        """What it kept in its memory alone is gone."""
        self.network.lsp.restart()
        until(self._answers, "the node answers us again")

    def _answers(self) -> bool:
        try:
            return bool(self.node.info())
        except LightningError:
            return False

    def release(self, name: str) -> None:
        """The operator has freed the order's coins."""
        lock_id = marks.lock_id(self.order(name).pk)
        for lease in self.node.leases():
            if lease.lock_id == lock_id:
                self.node.release(lease.outpoint, lock_id=lock_id)

    def forget_invoice(self, name: str) -> None:
        """The node was put back to before the sale: it does not know the invoice. (Its number stays taken.)"""
        payment_hash = keys.payment_hash(self.order(name).pk)

        def forget(world: World) -> None:
            world.invoices.waiting.pop(payment_hash, None)
            world.invoices.by_hash["00" * 32] = world.invoices.by_hash.pop(payment_hash)

        self.network.lsp.look(forget)

    # What is true

    def order(self, name: str) -> ChannelOrder:
        return self.shop.order(self.quotes[name])

    def live(self, name: str) -> ChannelOpening:
        live = self.order(name).live_opening
        assert live is not None and live.transaction is not None, name
        return live

    def funding_txid(self, name: str) -> str:
        funding = self.live(name).transaction
        assert funding is not None
        return str(funding.txid)

    def conflict_txid(self, name: str) -> str:
        conflict = self.live(name).conflict
        assert conflict is not None
        return str(conflict.txid)

    def point(self, name: str) -> str:
        """Of the order's channel."""
        return str(self.shop.opening(self.quotes[name]).funding_outpoint)

    def rival(self, name: str) -> bytes:
        """A signed transaction of the node's own that spends a coin of the order's funding."""
        funding = self.live(name).transaction
        assert funding is not None
        outpoint, amount_sat, script_hex = funding.inputs[0]
        psbt = transactions.conflict_psbt(
            Outpoint.parse(outpoint),
            pk_script=bytes.fromhex(script_hex),
            amount_sat=amount_sat,
            to_address=self.node.new_address(),
            fee_sat=3_000,
        )
        return bytes(self.node.finalize_psbt(psbt).raw)

    @contextmanager
    def put_back(self, name: str) -> Iterator[None]:
        """What our records learn of the order meanwhile is lost, as with a database that was put back."""
        before, invoice = copy.copy(self.order(name)), copy.copy(self.order(name).hold_invoice)
        yield
        OrderEvent.objects.filter(order=before.pk, version__gt=before.version).delete()
        ChannelOpening.objects.filter(order=before.pk).delete()
        WalletTransaction.objects.filter(label__endswith=str(before.pk)).delete()
        before.due_at = timezone.now()
        before.save()
        invoice.save()

    def waits(self, name: str, reason: str) -> None:
        """The order is claimed and waits for this reason."""
        order = self.order(name)
        told = f"{name}: {order.last_failure_reason}\n{self.shop.story(self.quotes[name])}"
        assert (order.state, order.last_failure_reason) == ("uri_set", reason), told

    def says(self, name: str, state: str, reason: str = "") -> None:
        """The order is in this state and, with a reason, waits for a person because of it."""
        order = self.order(name)
        told = f"{name}: {self.shop.story(self.quotes[name])}\n{order.needs_staff_reason}"
        assert order.state == state and (reason in order.needs_staff_reason if reason else True), told
