"""Lives of channels just in time: bought by messages, paid while our processes are killed, and who has what at the end.

The wallet and its payer do what theirs do: who hears no answer asks again, and a payment that failed for now is tried
again. Nobody's word is taken for what was paid: the simulated node's channels say it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from django.utils import timezone

from lsps.bolt8.codec import MESSAGE_TYPE
from orders import nudges
from orders.books import recounting
from orders.jit import ability
from orders.models import ChannelOpening, ChannelOrder, Heartbeat, JitPart, JitPurchase, Service
from orders.states import LIVE_OPENINGS, InvoiceState, OrderState
from simulator.channels import OPEN
from simulator.control import Refused
from tests.chaos.lives import NeverEnded, Sale
from tests.chaos.mortal import STREAMS, WORKER
from tests.chaos.runs import SETTINGS, Plan, Run, _left_with_customers
from tests.property import jit_truths, truths
from tests.regtest.payment import FAILED, FINAL, SUCCEEDED

WALLET, PAYER = "alice", "buyer"
SIZE_SAT: Final = 200_000
#: Who hears of payments is the streams process; the worker may look at the order too.
CASTS: Final = ((STREAMS,), (WORKER, STREAMS))
#: A payer that hears "try again" does, so often.
_TRIES: Final = 4
_ASK_SECONDS: Final = 2.0
#: A wallet that holds its payment does so for as long: a process dies meanwhile, and the node asks the next one anew,
#: once more about all where it was started anew too.
_HOLD_SECONDS: Final = {False: 2.0, True: 9.0}
#: So often a wallet connects again whose connection was lost.
_CONNECT_SECONDS: Final = 0.5
_GREETING: Final = 40_001
_OVER: Final = frozenset({OrderState.OPEN, OrderState.REFUNDED})


@dataclass(frozen=True)
class JitLife:
    """What is bought, and what the wallet does with its payment."""

    parts: int = 1
    trusts_us: bool = True
    takes: str = "settles"
    #: The wallet is away when its payment comes.
    away: bool = False


JIT_LIVES: Final[dict[str, JitLife]] = {
    "trusting_us": JitLife(),
    "trusted_by_us": JitLife(trusts_us=False),
    "trusting_us_in_parts": JitLife(parts=3),
    "trusted_by_us_in_parts": JitLife(parts=3, trusts_us=False),
    "not_taken": JitLife(takes="fails"),
    "held_at_first": JitLife(takes="holds", parts=2),
    "away_at_first": JitLife(away=True),
}
SETTINGS.update({life: {"LSPS2_ENABLED": True, "LSPS2_ON_OLD_LND": True} for life in JIT_LIVES})
#: To how many boundaries a process comes, nearly: a streams process that does all, and a worker beside it.
BOUNDARIES: Final = {STREAMS: 165, WORKER: 120}


class Wallet:
    """Buys as wallets do, by messages between its node and ours."""

    def __init__(self, sale: Sale) -> None:
        self._sale = sale

    def bought(self) -> JitPurchase:
        """What it has bought; each time that it heard nothing, another."""
        menu = self.ask("lsps2.get_info", {})["opening_fee_params_menu"]
        said = self.ask("lsps2.buy", {"opening_fee_params": menu[0], "payment_size_msat": str(SIZE_SAT * 1000)})
        return JitPurchase.objects.get(scid=said["jit_channel_scid"])

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result. It is asked for until there is an answer."""
        request = {"jsonrpc": "2.0", "id": str(uuid4()), "method": method, "params": params}
        asked_at = 0.0

        def answer() -> dict[str, Any] | None:
            nonlocal asked_at
            if time.monotonic() > asked_at + _ASK_SECONDS:
                asked_at = time.monotonic()
                self._sale.control.say_to_node(WALLET, json.dumps(request).encode(), type=MESSAGE_TYPE)
            heard = [json.loads(data) for kind, data in self._sale.control.heard(WALLET) if kind == MESSAGE_TYPE]
            found = [said for said in heard if said["id"] == request["id"]]
            return found[0] if found else None

        said: dict[str, Any] = self._sale.until(answer, f"{method} is answered")
        assert "result" in said, said
        return dict(said["result"])

    def invoice(self, purchase: JitPurchase) -> str:
        """To be paid over our node, and the channel that it has bought."""
        wallet = self._sale.network.customers[WALLET]
        lsp = self._sale.network.lsp
        return wallet.ask(lsp, SIZE_SAT, scid=purchase.number, cltv_blocks=purchase.cltv_expiry_delta)


class Payer:
    """Tries again what failed for now, unless a channel was opened for it: then its number has to wait."""

    def __init__(self, sale: Sale, parts: int) -> None:
        self._sale, self._parts = sale, parts
        self.states: list[str] = []

    def pays(self, invoice: str, meanwhile: Callable[[], object]) -> str:
        """What became of its last try. Meanwhile whoever is concerned does his part."""
        state = FAILED
        for _ in range(_TRIES):
            self._sale.until(self._is_asked, "somebody hears of payments")
            state = self._try(invoice, meanwhile)
            self.states.append(state)
            if state == SUCCEEDED or ChannelOrder.objects.exists():
                break
        return state

    def _is_asked(self) -> bool:
        return bool(self._sale.network.lsp.look(lambda world: world.passing.asking is not None))

    def _try(self, invoice: str, meanwhile: Callable[[], object]) -> str:
        begun = self._sale.control.pay(invoice, payer=PAYER, parts=self._parts)
        meanwhile()

        def ended() -> str:
            try:
                state = str(self._sale.control.payment(begun.id).state)
            except Refused:
                return ""  # the node starts anew
            return state if state in FINAL else ""

        return str(self._sale.until(ended, "the payment has ended"))


@dataclass
class PaidJustInTime(Run):
    """A run of one of these lives."""

    payer_had_sat: int = field(init=False, default=0)
    payer: Payer = field(init=False)
    _is_away: bool = False
    _connected_at: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        life, lsp = JIT_LIVES[self.plan.life], self.network.lsp
        Service.objects.update(sells_jit=True, jit_client_trusts_lsp=life.trusts_us)
        Heartbeat.objects.update_or_create(name=ability.FORWARDING, defaults={"at": timezone.now()})
        lsp.control.require_interceptor(True)
        self.wallet = self.network.customers[WALLET]
        self.wallet.change(accepts_zero_conf=True, takes_less=True, pending_limit=50, takes=life.takes)
        self.payer, self.payer_had_sat = Payer(self.sale, life.parts), self._has_sat(PAYER)

    def live(self) -> None:
        """The payment has come to its end, and so has whatever was opened for it; everything is as it must be."""
        print(self.plan)
        self.break_something()
        try:
            state = self._paid(JIT_LIVES[self.plan.life])
            self.sale.until(self._is_over, "whatever was opened for it has come to its end", mining=True)
            self.processes.kill()
            self._check_paid(state)
        except AssertionError as false:
            kind = NeverEnded if isinstance(false, NeverEnded) else AssertionError
            raise kind(f"{false}\n{self.plan}\n{self._story()}\n{self.processes.log()}") from None

    def _paid(self, life: JitLife) -> str:
        wallet = Wallet(self.sale)
        purchase = wallet.bought()
        if life.away:
            self._is_away = True
            self.wallet.kill()
        return self.payer.pays(wallet.invoice(purchase), lambda: self._meanwhile(life))

    def _meanwhile(self, life: JitLife) -> None:
        if life.away:
            self.sale.until(lambda: JitPart.objects.exists() or self.processes.met, "its payment is there")
            self.wallet.start()
            self._is_away = False
        if life.takes == "holds":
            self.sale.until(self._is_held, "the wallet holds it, or never will")
            until = time.monotonic() + _HOLD_SECONDS[self.plan.node_restarts]
            self.sale.until(lambda: time.monotonic() > until or self._is_back(), "it holds it no more")
            self.wallet.change(takes="settles")

    def _is_held(self) -> bool:
        parts = self.network.lsp.look(jit_truths.facts).parts
        return any(part.out for part in parts) or self._is_back()

    def _is_back(self) -> bool:
        parts = self.network.lsp.look(jit_truths.facts).parts
        return bool(parts) and all(part.back for part in parts)

    def _is_over(self) -> bool:
        """All of it is at rest, and deep where it is published."""
        orders = list(ChannelOrder.objects.all())
        if JitPart.objects.filter(decision="").exists():
            return False
        if ChannelOpening.objects.filter(state__in=LIVE_OPENINGS).exists():
            return False
        return all(order.state in _OVER for order in orders)

    def _tend(self) -> None:
        """Every order is looked at, whichever of them is the one that counts; and the wallet comes back."""
        super()._tend()
        if not self._is_away and time.monotonic() > self._connected_at + _CONNECT_SECONDS:
            self._connected_at = time.monotonic()
            with suppress(Refused):  # the node starts anew
                self.sale.control.say_to_node(WALLET, b"hello", type=_GREETING)
        self.sale.bought = [str(pk) for pk in ChannelOrder.objects.values_list("pk", flat=True)]
        if self.sale.bought:
            self.sale.order_id = self.sale.bought[-1]
            nudges.nudge_all([UUID(order_id) for order_id in self.sale.bought[:-1]])

    # What must be true

    def _check_paid(self, state: str) -> None:
        seen = self.network.lsp.look(truths.facts)
        truths.check_always(seen)
        truths.check_rest(seen, {})
        jit_truths.check_nothing_left(seen.passed)
        assert not seen.leased, f"leased: {seen.leased}"
        assert not recounting.uncovered(), f"nobody has this: {recounting.uncovered()}"
        self._check_who_has_what(state, seen)
        abandoned = {each.funding_outpoint for each in ChannelOpening.objects.filter(state="failed")}
        left = self.network.lsp.look(_left_with_customers) - abandoned
        assert not left, f"the wallet still waits for {left}"

    def _check_who_has_what(self, state: str, seen: truths.Facts) -> None:
        """The payer once or not at all, the wallet all but the fee or nothing, and our fee for no less than that."""
        settled = [order for order in ChannelOrder.objects.all() if order.hold_invoice.state == InvoiceState.SETTLED]
        is_paid = state == SUCCEEDED
        assert len(settled) == self.payer.states.count(SUCCEEDED) == is_paid, f"{settled}, and {self.payer.states}"
        paid_sat = self.payer_had_sat - self._has_sat(PAYER)
        got_sat = jit_truths.received_sat(seen.passed, self.wallet.pubkey)
        parts = JIT_LIVES[self.plan.life].parts  # the simulated node counts whole satoshis, part by part
        asked_sat = SIZE_SAT if is_paid else 0
        assert 0 <= asked_sat - paid_sat < parts, f"the payer has paid {paid_sat} sat, of {asked_sat}"
        due_sat = SIZE_SAT - jit_truths.fee_msat(settled[0]) // 1000 if is_paid else 0
        assert 0 <= due_sat - got_sat < parts, f"the wallet has {got_sat} sat, of {due_sat}"
        published = [txid for txids in seen.fundings.values() for txid in txids]
        assert len(published) == is_paid or not trusts(self.plan), f"published: {published}"
        assert len(published) <= 1 and len(seen.channels) == len(published), f"{published}, {seen.channels}"

    def _has_sat(self, name: str) -> int:
        pubkey = self.network.customers[name].pubkey
        return int(self.network.lsp.look(lambda world: sum(
            each.remote_sat for each in world.channels.alive(pubkey) if each.stage == OPEN
        )))  # fmt: skip

    def _story(self) -> str:
        parts = [f"{row} {row.decision or '?'} {row.fee_msat} {row.reason}" for row in JitPart.objects.all()]
        return "\n".join([f"payer: {self.payer.states}", *parts, self.sale.story()])


def trusts(plan: Plan) -> bool:
    """Its wallet trusts us: nothing is published that was not taken."""
    return JIT_LIVES[plan.life].trusts_us


def name(plan: Plan) -> str:
    """By all that is drawn of it."""
    deaths = [f"{death.role}-{death.at}-{death.when}-{death.scope}-{death.name}".strip("-") for death in plan.deaths]
    return "-".join([plan.life, *plan.cast, *deaths])
