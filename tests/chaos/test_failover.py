"""The database falls back by its last commits, as an asynchronous standby that takes over has it; the node does not.

One order's life is played on a node of its own until one moment (a commit, or a call that changed the node). Then
the database is put back by so many commits, and everything runs on: at most one funding, one channel, the payment
settled once or returned once, nothing leased, and `recover` has nothing left to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from lightning import connection, node
from lightning.errors import LightningError
from lightning.simulator.control import FAIL
from orders import queries, reconcile, recovering
from orders.advance import advance
from orders.errors import NotAvailable
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, Service, Switch, SwitchName
from orders.operations import opening
from orders.recovering import Kind
from orders.states import LIVE_OPENINGS, OrderState
from tests.chaos.standby import Died, Standby
from tests.e2e.shop import Shop
from tests.property import records, truths
from tests.property.inside import InsideNetwork, Loop
from tests.property.test_interleavings import QuickClock

HOUR = 3600
Life = Callable[["Trial"], None]


Begin = Callable[[Standby], AbstractContextManager["Trial"]]


class TookOver(Exception):
    """The standby has taken over, and the process that did not die has come to the end of its turn."""


class Trial:
    """One server, its node, one buyer, one order."""

    def __init__(self, loop: Loop, settings: Any, standby: Standby) -> None:
        records.empty()
        Switch.objects.all().delete()
        connection._node_of.cache_clear()
        self.network = InsideNetwork(loop)
        self.settings, self.standby = settings, standby
        lsp = self.network.lsp
        settings.LND_GRPC = lsp.grpc_address
        settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
        self.shop = Shop(self.network, Client())  # type: ignore[arg-type]
        self.quote: dict[str, Any] = {}
        self.claims = False
        self.turn()

    # What the life is made of

    def buy(self, **body: Any) -> None:
        self.quote = self.shop.buy(**body)

    def pay(self) -> None:
        self.control.pay(self.quote["ln_invoice"], payer="buyer", amount_msat=self.quote["total_amount"] * 1000)

    def deposit(self) -> None:
        self.control.deposit((self.quote["btc_address"], self.quote["total_amount"]), replaceable=False)

    def claim(self) -> None:
        self.claims = True
        self.shop.claim(self.quote)

    def turn(self) -> None:
        """One pass of reconcile, and of every order that is due."""
        try:
            reconcile.look(self.shop.node)
        except (LightningError, NotAvailable):
            pass
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

    def claim_again(self) -> None:
        """The buyer sees that nobody knows of the claim."""
        order = self.order()
        if self.claims and order is not None and order.state == OrderState.PAID:
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


DELIVERED = (lightning, onchain, tried_twice, put_out)
RETURNED = (never_claimed, given_up)

# Trials


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


@pytest.fixture
def begin(loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Begin:
    settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS, settings.LND_NETWORK = True, 3, "regtest"
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    clock = QuickClock()
    monkeypatch.setattr(node, "monotonic", clock.monotonic)
    monkeypatch.setattr(node, "sleep", clock.sleep)
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 1)
    monkeypatch.setattr(opening, "PENDING_SECONDS", 1)
    if not Service.objects.exists():
        Service.objects.create()

    @contextmanager
    def begin(standby: Standby) -> Iterator[Trial]:
        settings.PAUSE_IF_BEHIND, settings.PUBLISH_PATIENCE_SECONDS = False, 1800
        trial = Trial(loop, settings, standby)
        try:
            with standby.watching():
                yield trial
        finally:
            trial.network.stop()

    return begin


def see_through(trial: Trial, *, noticed: bool) -> None:
    """All that people and engines do afterwards. Not noticed: the engines and the buyer just go on for a while."""
    if noticed:
        trial.start_anew()
    else:
        trial.go_on()
        trial.claim_again()
        trial.go_on()
    trial.recover("--resume")
    trial.go_on()
    trial.claim_again()
    trial.go_on()


def assert_whole(trial: Trial, state: str) -> None:
    order = trial.order()
    assert order is not None
    seen = trial.facts()
    assert order.state == state, order.state
    assert order.live_opening is None and not order.needs_staff, order.needs_staff_reason
    truths.check_always(seen)
    truths.check_rest(seen, {})
    left = trial.recover("--resume")
    assert "FAILED" not in left, left
    assert queries.paused(SwitchName.SALES) is None


def run_all(begin: Begin, life: Life, cases: Iterable[tuple[int, int]], *, dies: bool, noticed: bool) -> None:
    wrong = []
    for strikes_at, lost in cases:
        standby = Standby(strikes_at, lost, dies)
        with begin(standby) as trial:
            trial.play(life)
            try:
                if not standby.struck:
                    standby.lost = min(lost, len(standby.copies) - 1)
                    standby.take_over()
                if trial.order() is None:
                    continue
                see_through(trial, noticed=noticed)
                assert_whole(trial, "open" if life in DELIVERED else "refunded")
            except Exception as e:
                import traceback
                at = standby.moments[-1]
                wrong.append((strikes_at, lost))
                print(f"\n##### {life.__name__} dies={dies} noticed={noticed} moment={strikes_at} {at} lost={lost} -> {standby.copies[-1-standby.lost].last_word}: {type(e).__name__} {str(e)[:300]}\n" + traceback.format_exc()[-600:] + trial.told())
    assert not wrong


def cases(standby):
    moments = len(standby.moments)
    for moment in range(1, moments + 1):
        for lost in range(1, min(3, standby.commits[moment-1]) + 1):
            yield moment, lost
    for lost in range(1, len(standby.copies)):
        yield 0, lost


import os
@pytest.mark.parametrize("dies,noticed", [(True, True), (False, False)])
@pytest.mark.parametrize("life", DELIVERED + RETURNED)
def test_matrix(begin, life, dies, noticed):
    standby = Standby()
    with begin(standby) as trial:
        trial.play(life)
    some = list(cases(standby))
    print(len(some))
    step = int(os.environ.get("STEP", "1"))
    run_all(begin, life, some[::step], dies=dies, noticed=noticed)
