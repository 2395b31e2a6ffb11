"""An attack: attackers and buyers at once, for so long, and then what is left of the shop."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lightning.proto import invoicesrpc_pb2 as inv
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto.invoicesrpc_pb2_grpc import InvoicesStub
from simulator.control import Refused
from tests.attack.asking import Peer
from tests.attack.attackers import EVERYONE, Attacker
from tests.attack.client import wait
from tests.attack.ground import Ground
from tests.attack.honest import Buyer, Outcome
from tests.attack.shop import Shop

_SAMPLE_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 0.5
_MOST_TRIES: Final = 3
#: The first buyer comes before the attackers: they are told of an invoice to read.
HEAD_START_SECONDS: Final = 2.0
#: Orders whose coins are promised.
_PROMISING: Final = ("created", "paid", "uri_set", "give_up")
_FUNDING: Final = "funding:"
_PAYMENTS: Final = (
    "SELECT o.id::text, o.state, h.payment_hash, o.fee_total_sat"
    " FROM orders_channelorder o JOIN orders_holdinvoice h ON h.order_id = o.id"
)

_FEES: Final = (
    "SELECT label, sum(fee_sat)::bigint FROM orders_wallettransaction WHERE published_at IS NOT NULL GROUP BY label"
)


@dataclass(frozen=True)
class Plan:
    """Who attacks, from how many addresses, how long, and how often somebody honest comes."""

    attackers: Sequence[str] = tuple(EVERYONE)
    seed: int = 1
    seconds: float = 60.0
    addresses: int = 200
    buyer_every_seconds: float = 4.0
    patient_every: int = 5  # of so many buyers one is patient
    patience_seconds: float = 8.0
    settles_seconds: float = 60.0


@dataclass
class Seen:
    """What somebody who looks at the server every second has seen."""

    oldest_heartbeat_seconds: int = 0
    slowest_health_seconds: float = 0.0
    unanswered: int = 0
    most_promised_sat: int = 0
    #: By messages between nodes; who is not answered asks again, as wallets do.
    slowest_message_seconds: float = 0.0
    unheard: int = 0


@dataclass
class Report:
    """What it came to."""

    plan: Plan
    attackers: list[Attacker]
    prompt: list[Outcome] = field(default_factory=list)
    patient: list[Outcome] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    #: By order: channels that live at the node.
    channels: Counter[str] = field(default_factory=Counter)
    fundings: Counter[str] = field(default_factory=Counter)
    #: Orders whose payment is ours and that have no channel, and the other way round.
    taken_for_nothing: list[str] = field(default_factory=list)
    given_for_nothing: list[str] = field(default_factory=list)
    chain_fees_sat: int = 0
    earned_sat: int = 0
    #: Of the order that cost the most: its chain fee less what it paid us, and that.
    worst_loss_sat: int = 0
    worst_loss_paid_sat: int = 0
    log: str = ""


_TIMES: Final = (
    "SELECT order_id::text, min(at) FILTER (WHERE cause = 'lightning_payment_held'),"
    " min(at) FILTER (WHERE cause = 'opening_begun') FROM orders_orderevent GROUP BY 1"
)


class Attack:
    """One, on a shop that runs."""

    def __init__(self, shop: Shop, plan: Plan) -> None:
        self._plan = plan
        rng = random.Random(plan.seed)
        self._ground = Ground(shop, rng, plan.addresses)
        self._report = Report(plan, [EVERYONE[name](self._ground) for name in plan.attackers])
        self._buyers: list[threading.Thread] = []
        self._until = 0.0

    def run(self) -> Report:
        """All have done what they do, the buyers have had time to get what they bought, and everything was counted."""
        self._ground.ends_at = time.monotonic() + self._plan.seconds
        # Whoever comes last of those who take their time has it, too: to pay, and once more to claim.
        self._until = self._ground.ends_at + 2 * self._plan.patience_seconds + self._plan.settles_seconds
        at_work = [self._started(work) for work in (self._sell, self._watch, self._ask)]
        wait(HEAD_START_SECONDS, self._ground.ends_at)
        at_work += [self._started(self._attack, each) for each in self._report.attackers]
        for each in at_work:
            each.join()
        for buyer in self._buyers:
            buyer.join()
        for attacker in self._report.attackers:
            attacker.end()
        _count(self._ground.shop, self._report)
        return self._report

    def _started(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _attack(self, attacker: Attacker) -> None:
        while not self._ground.is_over:
            try:
                attacker.step()
            except (OSError, Refused):
                attacker.ledger.unanswered += 1
            wait(self._ground.rng.expovariate(1 / attacker.pause_seconds), self._ground.ends_at)

    def _sell(self) -> None:
        number = 0
        while not self._ground.is_over:
            number += 1
            self._buyers.append(self._started(self._buy, number % self._plan.patient_every == 0))
            wait(self._plan.buyer_every_seconds, self._ground.ends_at)

    def _buy(self, is_patient: bool) -> None:
        pause = self._plan.patience_seconds if is_patient else 0
        outcome = Buyer(self._ground, self._until, pays_after=pause, claims_after=pause).buys()
        (self._report.patient if is_patient else self._report.prompt).append(outcome)

    def _watch(self) -> None:
        seen, shop = self._report.seen, self._ground.shop
        while not self._ground.is_over:
            begun = time.monotonic()
            try:
                beats = shop.health()["heartbeats"].values()
                seen.oldest_heartbeat_seconds = max(
                    seen.oldest_heartbeat_seconds, *(beat["age_seconds"] for beat in beats), 0
                )
            except (OSError, KeyError, TypeError):
                seen.unanswered += 1
            seen.slowest_health_seconds = max(seen.slowest_health_seconds, time.monotonic() - begun)
            self._sample()
            wait(_SAMPLE_SECONDS, self._ground.ends_at)

    def _ask(self) -> None:
        """Somebody asks what is sold, by messages, from a node of his own each time."""
        number, seen = 0, self._report.seen
        while not self._ground.is_over:
            number += 1
            peer = Peer(self._ground.control, f"asking-{number}")
            begun = time.monotonic()
            answers = (peer.asks("lsps1.get_info", seconds=7, until=self._until) for _ in range(_MOST_TRIES))
            is_told = any(answer is not None and "result" in answer for answer in answers)
            seen.unheard += not is_told
            seen.slowest_message_seconds = max(seen.slowest_message_seconds, time.monotonic() - begun)
            wait(_ASK_SECONDS, self._ground.ends_at)

    def _sample(self) -> None:
        """What is promised to whom just now."""
        query = "SELECT id::text, lsp_balance_sat + client_balance_sat FROM orders_channelorder WHERE state = ANY(%s)"
        promised = dict(self._ground.shop.rows(query, list(_PROMISING)))
        self._report.seen.most_promised_sat = max(self._report.seen.most_promised_sat, sum(promised.values()))
        for attacker in self._report.attackers:
            ledger = attacker.ledger
            locked = sum(promised.get(order_id, 0) for order_id in ledger.orders)
            ledger.most_locked_sat = max(ledger.most_locked_sat, locked)


def _count(shop: Shop, report: Report) -> None:
    """What the node has in the end, against what was paid: payments first, as the shop goes on while we count."""
    node = shop.node
    invoices = {hash_: _invoice_state(shop, hash_) for _, _, hash_, _ in shop.rows(_PAYMENTS)}
    pending = node.call(node.stub.PendingChannels, ln.PendingChannelsRequest())
    memos = [each.memo for each in node.channels()] + [each.channel.memo for each in pending.pending_open_channels]
    report.channels.update(memo for memo in memos if memo)
    labels = [each.label for each in node.transactions()]
    report.fundings.update(label.removeprefix(_FUNDING) for label in labels if label.startswith(_FUNDING))
    fees_sat = {label.removeprefix(_FUNDING): fee_sat for label, fee_sat in shop.rows(_FEES)}
    for payment in map(Payment._make, shop.rows(_PAYMENTS)):
        invoice = invoices.get(payment.payment_hash, "")
        _pair(report, payment, invoice, fees_sat.get(payment.order_id, 0))
    for attacker in report.attackers:
        attacker.ledger.look_at_payments()
    times = {order_id: taken for order_id, *taken in shop.rows(_TIMES)}
    for each in (*report.prompt, *report.patient):
        each.took(*times.get(each.order_id, (None, None)))
    report.log = shop.log()


class Payment(NamedTuple):
    """What an order was to be paid with."""

    order_id: str
    state: str
    payment_hash: str
    fee_sat: int


def _invoice_state(shop: Shop, payment_hash: str) -> str:
    request = inv.LookupInvoiceMsg(payment_hash=bytes.fromhex(payment_hash))
    stub = InvoicesStub(shop.node.control.channel)
    return ln.Invoice.InvoiceState.Name(shop.node.call(stub.LookupInvoiceV2, request).state)


def _pair(report: Report, payment: Payment, invoice: str, chain_fee_sat: int) -> None:
    """One order's payment, as the node has it, with what was given for it."""
    delivered = report.channels[payment.order_id] > 0
    if invoice == "SETTLED" and not delivered:
        report.taken_for_nothing.append(f"{payment.order_id} {payment.state}")
    if invoice == "CANCELED" and delivered:
        report.given_for_nothing.append(f"{payment.order_id} {payment.state}")
    if invoice == "SETTLED":
        report.earned_sat += payment.fee_sat
    report.chain_fees_sat += chain_fee_sat
    if chain_fee_sat - payment.fee_sat > report.worst_loss_sat:
        report.worst_loss_sat, report.worst_loss_paid_sat = chain_fee_sat - payment.fee_sat, payment.fee_sat
