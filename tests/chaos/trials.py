"""One order's whole life on a simulated node of its own, until its database falls back; and what follows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from lightning import connection
from lightning.errors import LightningError
from orders import actors, queries, reconcile
from orders.advance import advance
from orders.errors import NotAvailable
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, Switch, SwitchEvent
from orders.operations import giving_up
from orders.states import LIVE_OPENINGS, OrderState
from simulator.control import FAIL
from tests.chaos.standby import Died, Standby
from tests.e2e.shop import Shop
from tests.property import records, truths
from tests.property.inside import InsideNetwork, Loop

HOUR = 3600
Life = Callable[["Trial"], None]


class TookOver(Exception):
    """The standby has taken over, and the process that did not die has come to the end of its turn."""


class Trial:
    """One server, its node, one buyer, one order."""

    def __init__(self, loop: Loop, settings: Any, standby: Standby) -> None:
        records.empty()
        Switch.objects.all().delete()
        SwitchEvent.objects.all().delete()
        connection._node_of.cache_clear()
        self.network = InsideNetwork(loop)
        self.settings, self.standby = settings, standby
        lsp = self.network.lsp
        settings.LND_GRPC = lsp.grpc_address
        settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
        self.shop = Shop(self.network, Client())  # type: ignore[arg-type]
        self.quote: dict[str, Any] = {}
        self.turn()

    # What the life is made of

    def buy(self, **body: Any) -> None:
        self.quote = self.shop.buy(**body)

    def pay(self) -> None:
        self.control.pay(self.quote["ln_invoice"], payer="buyer", amount_msat=self.quote["total_amount"] * 1000)

    def deposit(self) -> None:
        self.control.deposit((self.quote["btc_address"], self.quote["total_amount"]), replaceable=False)

    def claim(self) -> None:
        self.shop.claim(self.quote)

    def turn(self) -> None:
        """One pass of reconcile, and of every order that is due."""
        with suppress(LightningError, NotAvailable):
            reconcile.look(self.shop.node)
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def turns(self, *, blocks: int = 0, until: str = "") -> None:
        for _ in range(max(blocks, 1)):
            if blocks:
                self.network.mine(1)
            records.hurry()
            self.turn()
            if self.standby.struck:
                raise TookOver
            if until and until in self.shop.journal(self.quote):
                return

    def time_passes(self, seconds: int) -> None:
        self.control.pass_time(seconds)
        self.standby.time_passes(seconds)

    @property
    def control(self) -> Any:
        return self.network.lsp.control

    # What comes after

    def play(self, life: Callable[[Trial], None]) -> None:
        """The life, until the standby takes over."""
        self.life = life
        try:
            life(self)
        except (Died, TookOver):
            pass
        except Exception:
            if not self.standby.struck:
                raise
        connection._node_of.cache_clear()
        database.close()

    def order(self) -> ChannelOrder | None:
        return ChannelOrder.objects.first()

    def go_on(self) -> None:
        """Blocks come and the engines turn, until three of them have changed nothing and nothing is being opened."""
        quiet, journalled = 0, -1
        for _ in range(40):
            self.network.mine(1)
            records.hurry()
            self.turn()
            now = OrderEvent.objects.count()
            under_way = ChannelOpening.objects.filter(state__in=LIVE_OPENINGS).exists()
            quiet, journalled = (quiet + 1 if now == journalled and not under_way else 0), now
            if quiet == 3:
                return

    def let_every_window_end(self) -> None:
        for seconds in (7 * HOUR, 13 * HOUR, 31 * 24 * HOUR):
            self.control.pass_time(seconds)
            records.age(seconds)
            self.go_on()

    def ask_again(self) -> None:
        """The buyer sees that nobody knows of the claim, and staff that nobody knows of the retry."""
        order = self.order()
        if self.life is retried and order is not None and order.state == OrderState.GIVE_UP:
            giving_up.retry(order.pk, actor=actors.staff("ada"))
        if self.life in DELIVERED and order is not None and order.state == OrderState.PAID:
            self.shop.claim(self.quote)

    def recover(self, *arguments: str) -> str:
        out = StringIO()
        try:
            call_command("recover", *arguments, stdout=out)
        except CommandError as left:
            out.write(f"FAILED {left}")
        return out.getvalue()

    def start_anew(self) -> None:
        """As each process does: paused, if the node knows more than the database."""
        self.settings.PAUSE_IF_BEHIND = True
        reconcile._asked.clear()
        reconcile.listed.asking = None
        self.turn()

    def facts(self) -> truths.Facts:
        return self.network.lsp.look(truths.facts)

    def told(self) -> str:
        stories = [self.shop.story({"order_id": str(pk)}) for pk in ChannelOrder.objects.values_list("pk", flat=True)]
        return "\n".join([f"moments {self.standby.moments}", *stories])


# Lives


def lightning(trial: Trial) -> None:
    trial.buy()
    trial.pay()
    trial.turns()
    trial.claim()
    trial.turns()
    trial.turns(blocks=8)


def onchain(trial: Trial) -> None:
    trial.buy()
    trial.deposit()
    trial.turns(blocks=4)
    trial.claim()
    trial.turns()
    trial.turns(blocks=8)


def tried_twice(trial: Trial) -> None:
    """The first attempt fails after the peer was asked to sign."""
    trial.network.buyer.change(vanishes="verify")
    trial.buy(node_uri=trial.network.buyer.p2p_address)
    trial.pay()
    trial.turns(blocks=6, until="opening_failed")
    trial.network.buyer.change(presence="online", vanishes="")
    trial.turns(blocks=10)


def put_out(trial: Trial) -> None:
    """The node refuses the signed funding; it is put out by a conflict, and the order tried anew."""
    trial.settings.PUBLISH_PATIENCE_SECONDS = 0
    trial.buy(node_uri=trial.network.buyer.p2p_address)
    trial.control.add_fault("PublishTransaction", FAIL, times=1)
    trial.pay()
    trial.turns()
    trial.turns(blocks=16)


def never_claimed(trial: Trial) -> None:
    trial.buy()
    trial.pay()
    trial.turns()
    trial.time_passes(7 * HOUR)
    trial.turns(blocks=2)


def given_up(trial: Trial) -> None:
    trial.buy()
    trial.pay()
    trial.turns()
    trial.network.buyer.kill()
    trial.claim()
    trial.turns()
    trial.time_passes(13 * HOUR)
    trial.turns(blocks=1)
    trial.time_passes(HOUR)
    trial.turns(blocks=2)


def retried(trial: Trial) -> None:
    """Given up since the peer was away, and delivered after staff have said so."""
    trial.network.buyer.kill()
    trial.buy(node_uri=trial.network.buyer.p2p_address)
    trial.pay()
    trial.turns()
    trial.time_passes(13 * HOUR)
    trial.turns()
    trial.network.buyer.start()
    giving_up.retry(trial.shop.order(trial.quote).pk, actor=actors.staff("ada"))
    trial.turns()
    trial.turns(blocks=8)


DELIVERED = (retried, lightning, onchain, tried_twice, put_out)
RETURNED = (never_claimed, given_up)
