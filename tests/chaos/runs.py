"""One run: an order's life, the deaths before it, what else goes wrong, and what must be true in the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django_q.models import OrmQ

from orders import queries
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, Service
from orders.models.order import Rail
from orders.states import OpeningState
from simulator import control as faults
from simulator.world import World
from tests.chaos.at_once import AT_ONCE, check_received
from tests.chaos.competing import COMPETING, STOCK, check_gave_way
from tests.chaos.lives import LIVES, RETURNED, SETTINGS, Life, NeverEnded, Sale
from tests.chaos.mortal import COINS, ROLES, SCOPES, STREAMS, WEB, WHENS, WORKER, Death
from tests.chaos.processes import Processes, Zygote
from tests.chaos.reshapes import RESHAPING, check_reshaped
from tests.property import records, truths
from tests.property.inside import InsideNetwork, Loop

#: The worker does all, the streams process does all, or whichever is quicker.
CASTS = ((WEB, WORKER), (WEB, STREAMS), ROLES)

EVERY_LIFE: dict[str, Life] = LIVES | COMPETING | RESHAPING | AT_ONCE

_TROUBLES = {"fail": faults.FAIL, "lose request": faults.LOSE_REQUEST, "lose reply": faults.LOSE_REPLY}
_CHANGING = (
    "AddHoldInvoice", "ConnectPeer", "OpenChannel", "FundPsbt", "FundingStateStep", "FinalizePsbt", "LeaseOutput",
    "PublishTransaction", "SettleInvoice", "CancelInvoice", "ReleaseOutput", "DisconnectPeer", "AbandonChannel",
)  # fmt: skip
_PATIENCE_SECONDS = 45.0
#: Looks of the others before a call that outlived its caller goes on inside the node.
_LATEST_TURNS = 3


@dataclass(frozen=True)
class Held:
    """A call stands still inside the node, before or after it acts, while all who could have made it are killed."""

    method: str
    before: bool
    turns: int


@dataclass(frozen=True)
class Plan:
    """All that is drawn of a run."""

    life: str
    cast: tuple[str, ...] = (WEB, WORKER)
    deaths: tuple[Death, ...] = ()
    trouble: tuple[str, str] | None = None
    held: Held | None = None
    node_restarts: bool = False
    without: str = ""


def draw(number: int, lives: Iterable[str] = LIVES) -> Plan:
    """The run of this number, the same each time: one death or two, and in some of the runs more that goes wrong."""
    dice = random.Random(number)
    life, cast = dice.choice(sorted(lives)), dice.choice(CASTS)
    cast = ROLES if life in RESHAPING and WORKER not in cast else cast  # who goes on with it
    deaths = tuple(_death(dice, life, cast) for _ in range(dice.choice((1, 2, 2))))
    trouble = (dice.choice(_CHANGING), dice.choice(sorted(_TROUBLES))) if dice.random() < 0.2 else None
    held = Held(dice.choice(_CHANGING), dice.random() < 0.5, dice.randrange(_LATEST_TURNS))
    restarts = dice.random() < 0.15
    return Plan(life, cast, deaths, trouble, held if dice.random() < 0.2 else None, node_restarts=restarts)


def _death(dice: random.Random, life: str, cast: tuple[str, ...]) -> Death:
    role = dice.choice((COINS, COINS, WORKER, cast[-1]) if life in RESHAPING else (cast[-1], cast[-1], cast[-2], WEB))
    return Death(role, dice.randint(1, boundaries(life, role, cast)), dice.choice(WHENS), dice.choice(SCOPES))


#: How many boundaries a healthy worker comes to that does all, and a streams process in the same time.
_BOUNDARIES = {
    "named_at_purchase": (80, 120), "claimed_later": (90, 130), "paid_on_chain": (100, 130), "cancelled": (30, 24),
    "refused": (57, 51), "begun_anew": (140, 170), "put_out": (150, 180),
    "gives_way": (180, 200), "pays_as_it_gives_way": (210, 210),
    "usable_at_once": (100, 130), "begun_anew_at_once": (150, 180),
    "split": (40, 40), "consolidated": (50, 40), "split_again_at_once": (50, 50), "split_while_selling": (130, 150),
}  # fmt: skip
_BOUNDARIES_OF_COINS = {"consolidated": 75}


def boundaries(life: str, role: str, cast: tuple[str, ...]) -> int:
    """To how many boundaries a process of the role comes in this life, nearly."""
    worker, streams = _BOUNDARIES[life]
    if role == COINS:
        return _BOUNDARIES_OF_COINS.get(life, 50)
    if role == WEB:
        return 20 if life in COMPETING else 8 if life == "claimed_later" else 7
    if role == STREAMS:
        return streams
    return worker if STREAMS not in cast else min(worker // 2, 50)


@dataclass
class Run:
    """The world of one run, new in every respect."""

    plan: Plan
    zygote: Zygote
    loop: Loop
    folder: Path
    patience_seconds: float = _PATIENCE_SECONDS
    network: InsideNetwork = field(init=False)
    processes: Processes = field(init=False)
    sale: Sale = field(init=False)
    _released_at: int | None = None
    _restarted: bool = False

    def __post_init__(self) -> None:
        records.empty()
        OrmQ.objects.all().delete()
        if not Service.objects.exists():
            Service.objects.create()
        self.network = InsideNetwork(self.loop, **(STOCK if self.plan.life in COMPETING else {}))
        lsp = self.network.lsp
        node = {
            "LND_GRPC": lsp.grpc_address,
            "LND_TLS_CERT": str(lsp.tls_certificate),
            "LND_MACAROON": str(lsp.admin_macaroon),
        }
        self.processes = Processes(
            self.zygote,
            self.folder,
            self.plan.cast,
            node | SETTINGS.get(self.plan.life, {}),
            patience=(5, 0.3 if self.plan.life.startswith("begun_anew") else 5),
            deaths=list(self.plan.deaths),
            without=self.plan.without,
        )
        self.sale = Sale(self.network, self.processes, self.patience_seconds, self._tend)

    def close(self) -> None:
        self.processes.kill()
        self.network.stop()

    def live(self) -> None:
        """The order has come to its end, whatever was drawn, and everything is as it must be."""
        print(self.plan)
        self.break_something()
        try:
            EVERY_LIFE[self.plan.life](self.sale)
            self.processes.kill()
            self._check()
        except AssertionError as false:
            kind = NeverEnded if isinstance(false, NeverEnded) else AssertionError
            raise kind(f"{false}\n{self.plan}\n{self.sale.story()}\n{self.processes.log()}") from None

    # What else goes wrong

    def break_something(self) -> None:
        """A call fails, or stands still, if that was drawn."""
        control = self.network.lsp.control
        if self.plan.trouble is not None:
            method, kind = self.plan.trouble
            control.add_fault(method, _TROUBLES[kind], text="a sentence that no table knows")
        if self.plan.held is not None:
            when = faults.PAUSE_BEFORE if self.plan.held.before else faults.PAUSE_AFTER
            control.add_fault(self.plan.held.method, when)

    def _tend(self) -> None:
        if self.plan.held is not None:
            self._tend_held(self.plan.held)
        if self.plan.node_restarts and self.processes.met and not self._restarted:
            self._restarted = True
            self.network.lsp.restart()

    def _tend_held(self, held: Held) -> None:
        control = self.network.lsp.control
        if self._released_at is None and held.method in control.waiting():
            self.processes.kill()
            self._released_at = self.sale.turns + held.turns
        if self._released_at is not None and self.sale.turns >= self._released_at:
            control.end_faults(held.method)

    # What must be true

    def _check(self) -> None:
        seen = self.network.lsp.look(truths.facts)
        truths.check_always(seen)
        truths.check_rest(seen, {})
        assert not seen.leased, f"leased: {seen.leased}"
        assert not queries.giving_way(), "told to go, and not gone"
        orders = {str(order.pk): order for order in ChannelOrder.objects.all()}
        assert set(orders) == set(self.sale.bought)  # however often the wallet asked
        for order_id, order in orders.items():
            if order_id in self.sale.gave_way:
                check_gave_way(order)
            else:
                (self._check_returned if self.plan.life in RETURNED else self._check_delivered)(order, seen)
        if self.plan.life in AT_ONCE:
            self._check_received(orders.values())
        if self.plan.life in RESHAPING:
            check_reshaped(self.network.lsp.look(lambda world: world))
        abandoned = [each.funding_outpoint for each in ChannelOpening.objects.filter(state=OpeningState.FAILED)]
        left = self.network.lsp.look(_left_with_customers) - set(abandoned)
        assert not left, f"customers still wait for {left}"

    def _check_received(self, orders: Iterable[ChannelOrder]) -> None:
        world = self.network.lsp.look(lambda world: world)
        for order in orders:
            check_received(world, order)

    def _check_returned(self, order: ChannelOrder, seen: truths.Facts) -> None:
        times = self._times(order, "payment_returned"), self._times(order, "payment_settled")
        assert times == (1, 0), f"returned and settled {times} times"
        assert not seen.fundings and not seen.channels, f"returned, and {seen.fundings} {seen.channels}"

    def _check_delivered(self, order: ChannelOrder, seen: truths.Facts) -> None:
        times = self._times(order, "payment_returned"), self._times(order, "payment_settled")
        assert times == (0, order.counted_payment == Rail.LIGHTNING), f"returned and settled {times} times"
        found = [*seen.fundings.values(), *seen.channels.values()]
        assert [len(ids) for ids in found] == [1, 1], f"fundings {seen.fundings}, channels {seen.channels}"
        confirmed = ChannelOpening.objects.filter(state=OpeningState.CONFIRMED).count()
        assert confirmed == 1, f"{confirmed} attempts delivered"

    def _times(self, order: ChannelOrder, cause: str) -> int:
        return OrderEvent.objects.filter(order=order, cause=cause).count()


def _left_with_customers(world: World) -> set[str]:
    """Channels that customers still wait for: as LND's do, for two weeks, with those that we have abandoned."""
    customers = world.customers.by_name.values()
    return {f"{txid}:{index}" for customer in customers for txid, index in customer.pending}


def environment(database_url: str) -> dict[str, str]:
    """What all processes of ours have in common, whichever run they are of."""
    passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return passed_on | {
        "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
        "LSP_ENV_FILE": "",
        "LSP_HOME": str(settings.LSP_HOME),
        "DATABASE_URL": database_url,
        "LND_GRPC": "127.0.0.1:1",  # each run has a node of its own
        "LND_MACAROON": "02" * 32,
        "LND_NETWORK": "regtest",
        "ONCHAIN_CONFIRMATIONS": "1",
        "PAUSE_IF_BEHIND": "off",
        "RETRY_FIRST_SECONDS": "1",
        "RETRY_MAX_SECONDS": "2",
        "BUY_RATE": "100000/min",
        "CLAIM_RATE": "100000/min",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
