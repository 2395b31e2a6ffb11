"""Processes of ours killed at random, with the node's trouble on top: whatever is drawn, the order ends right.

Each run is drawn from a number of its own, which is its name: the same number draws the same run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lightning.errors import LightningError
from lightning.simulator import control as faults
from orders.models import ChannelOpening
from orders.states import OpeningState
from tests.chaos.conftest import Engine
from tests.chaos.ending import see_through
from tests.chaos.hooked import STEPS
from tests.chaos.test_kills import assert_whole
from tests.e2e.shop import Shop
from tests.regtest.waiting import NeverHappened, until
from tests.simulator.network import SimulatedNetwork, SimulatedPayment, SimulatedPeer

Quote = dict[str, Any]

_EVERY_TIME = range(8)
_LONG = range(1_000, 1_500)
_METHODS = (
    "ConnectPeer", "OpenChannel", "FundPsbt", "FundingStateStep", "FinalizePsbt", "LeaseOutput", "PublishTransaction",
    "SettleInvoice", "ReleaseOutput", "DisconnectPeer", "AbandonChannel",
)  # fmt: skip
_HELD = ("OpenChannel", "FundPsbt", "FundingStateStep", "FinalizePsbt", "LeaseOutput", "PublishTransaction",
         "SettleInvoice")  # fmt: skip
#: Steps of ours and calls inside the node, as they come in an opening.
_ORDER = (
    "connect", "open_channel", "OpenChannel", "funding_request", "fund_psbt", "FundPsbt", "verify_psbt",
    "FundingStateStep", "pending_outpoint", "finalize_psbt", "FinalizePsbt", "lease", "LeaseOutput", "publish",
    "PublishTransaction", "settle_invoice", "SettleInvoice",
)  # fmt: skip
_TROUBLES = {"fail": faults.FAIL, "lose request": faults.LOSE_REQUEST, "lose reply": faults.LOSE_REPLY}
#: A step that does not come any more (the order is further already) is not waited for long.
_SECONDS_TO_REACH = 6


@dataclass(frozen=True)
class Life:
    """One life of a process of ours, and what goes wrong in it."""

    #: A step of ours ("before publish"), or a call held inside the node ("held before PublishTransaction").
    point: str
    trouble: tuple[str, str] | None
    node_restarts: bool
    #: Looks of the next process before a held call goes on inside the node.
    late: int

    @property
    def held(self) -> tuple[Any, str] | None:
        word, _, rest = self.point.partition(" ")
        if word != "held":
            return None
        when, _, method = rest.partition(" ")
        return (faults.PAUSE_BEFORE if when == "before" else faults.PAUSE_AFTER), method


def draw(number: int) -> list[Life]:
    """The lives of the run of this number."""
    dice = random.Random(number)
    lives = [_life(dice) for _ in range(dice.choice((1, 1, 2)))]
    return sorted(lives, key=lambda life: _ORDER.index(life.point.rpartition(" ")[2]))  # the later can be reached too


def _life(dice: random.Random) -> Life:
    when = dice.choice(("before", "after"))
    point = f"held {when} {dice.choice(_HELD)}" if dice.random() < 0.3 else f"{when} {dice.choice(STEPS)}"
    trouble = (dice.choice(_METHODS), dice.choice(sorted(_TROUBLES))) if dice.random() < 0.4 else None
    return Life(point, trouble, node_restarts=dice.random() < 0.25, late=dice.randrange(3))


@dataclass
class Run:
    """An order that several processes work on, one after the other."""

    shop: Shop
    peer: SimulatedPeer
    folder: Path
    database_url: str
    engines: list[Engine] = field(default_factory=list)

    @property
    def network(self) -> SimulatedNetwork:
        network: Any = self.shop.network
        return network

    def live(self, quote: Quote, life: Life) -> None:
        """A process of ours has worked on the order, and was killed."""
        control = self.network.lsp.control
        if life.trouble is not None:
            control.add_fault(life.trouble[0], _TROUBLES[life.trouble[1]], text="a sentence that no table knows")
        if life.held is not None:
            control.add_fault(life.held[1], life.held[0])
        engine = self._engine()
        engine.start(quote, life.point)
        with suppress(NeverHappened):  # the order took another way
            until(lambda: self._reached(engine, quote, life), life.point, timeout=_SECONDS_TO_REACH)
        print("killed:", self.shop.journal(quote)[-1], control.waiting())
        engine.kill()
        if life.node_restarts:
            self._restart_node()
        for _ in range(life.late):
            self.shop.hurry(quote)
            self.shop.turn()
        self.network.lsp.control.end_faults()

    def _engine(self) -> Engine:
        folder = self.folder / str(len(self.engines))
        folder.mkdir()
        self.engines.append(Engine(self.shop, folder, self.database_url))
        return self.engines[-1]

    def _reached(self, engine: Engine, quote: Quote, life: Life) -> bool:
        self.shop.hurry(quote)
        if life.held is not None:
            return life.held[1] in self.network.lsp.control.waiting()
        settled = "payment_settled" in self.shop.journal(quote)
        return (engine.folder / "reached").exists() or settled

    def _restart_node(self) -> None:
        self.network.lsp.kill()
        self.network.lsp.start()
        until(self._node_answers, "our client has found the node again")

    def _node_answers(self) -> bool:
        try:
            return bool(self.shop.node.info())
        except LightningError:
            return False


@pytest.fixture(scope="module")
def simulated_network() -> Iterator[SimulatedNetwork]:
    """A node that may be killed: the shared one is left alone."""
    with SimulatedNetwork() as own:
        yield own


@pytest.fixture(scope="module")
def network(simulated_network: SimulatedNetwork) -> SimulatedNetwork:
    return simulated_network


@pytest.fixture
def run(shop: Shop, network: SimulatedNetwork, tmp_path: Path, database_url: str) -> Iterator[Run]:
    running = Run(shop, network.add_peer(), tmp_path, database_url)
    yield running
    for engine in running.engines:
        engine.kill()
    network.lsp.control.end_faults()


@pytest.mark.parametrize("number", [*_EVERY_TIME, *(pytest.param(number, marks=pytest.mark.long) for number in _LONG)])
def test_an_order_whose_processes_are_killed_at_random_ends_right(run: Run, number: int) -> None:
    lives = draw(number)
    print(f"run {number}:", *lives, sep="\n  ")
    shop = run.shop
    quote = shop.buy(node_uri=run.peer.p2p_address)
    paid: Any = shop.pay(quote)
    for life in lives:
        run.live(quote, life)
    see_through(shop, quote)
    payment: Any = SimulatedPayment(run.network.lsp.control, paid._number)  # the node may have been restarted
    peer: Any = run.peer
    print(shop.story(quote))
    assert_whole(shop, quote, payment, peer)
    assert ChannelOpening.objects.filter(state=OpeningState.CONFIRMED).count() == 1


def test_runs_are_drawn_of_every_kind() -> None:
    lives = [life for number in _LONG for life in draw(number)]
    assert {life.point for life in lives} >= {f"{when} {step}" for step in STEPS for when in ("before", "after")}
    assert {life.held for life in lives} >= {(when, method) for when in (faults.PAUSE_BEFORE, faults.PAUSE_AFTER)
                                             for method in _HELD}  # fmt: skip
    assert {life.trouble[0] for life in lives if life.trouble} == set(_METHODS)
    assert any(life.node_restarts for life in lives) and any(len(draw(number)) == 2 for number in _EVERY_TIME)
