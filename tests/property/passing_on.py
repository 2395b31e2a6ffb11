"""Everything that can happen to a shop which also sells channels that open while their first payment is on its way."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from orders import queries
from orders.advance import advance
from orders.errors import OrderError
from orders.jit import ability, selling
from orders.jit.selling import Wanted
from orders.models import ChannelOrder, Heartbeat, JitPart, JitPurchase, Service
from orders.models.order import Door
from simulator.invoices import Payment
from simulator.passing import Part
from simulator.world import World
from tests.property.dying import Death, DyingNode
from tests.property.ears import Ears
from tests.property.machine import NAMES, Purchases
from tests.regtest.payment import FAILED
from tests.simulator.network import SimulatedPeer

PAYER: Final = "payer"
MOST_PURCHASES: Final = 4
_PAYER_SAT: Final = 4_000_000
_GREETING: Final = 40_001

wallets = st.sampled_from(NAMES)
#: None: the first part says it.
sizes_sat = st.sampled_from([150_000, 300_000, 150_000, None])
numbers = st.integers(0, MOST_PURCHASES - 1)


class PassingOn(Purchases):
    """As any shop; and wallets without a channel are paid by somebody who has one."""

    #: What the first wallet does with its first payment, until it is told otherwise.
    first_takes: str = "settles"

    def __init__(self) -> None:
        self.purchases: list[JitPurchase] = []
        #: The last invoice of each purchase, and the number of its last payment.
        self.asked: dict[int, tuple[str, int]] = {}
        self.ears: Ears | None = None
        super().__init__()
        self.payer = SimulatedPeer(self.network.lsp, PAYER)
        self.control.open_channel(PAYER, _PAYER_SAT, by_us=False)
        self.network.mine(6)
        for customer in self.network.customers.values():
            customer.change(accepts_zero_conf=True, takes_less=True)
        self.control.require_interceptor(True)
        Service.objects.update(sells_jit=True, jit_client_trusts_lsp=True)
        self.pass_of_engines()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            Service.objects.update(sells_jit=False)

    def has_begun(self) -> bool:
        return bool(self.quotes or self.purchases)

    # Wallets, and who pays them

    @initialize(name=wallets, trusts_us=st.booleans(), parts=st.integers(1, 3))
    def first_order(self, name: str, trusts_us: bool, parts: int) -> None:  # type: ignore[override]
        self.network.customers[name].change(takes=self.first_takes)
        self.wallet_buys(name, 150_000, trusts_us)
        self.wallet_is_paid(0, parts, False)

    @precondition(lambda self: len(self.purchases) < MOST_PURCHASES)
    @rule(name=wallets, size_sat=sizes_sat, trusts_us=st.booleans())
    def wallet_buys(self, name: str, size_sat: int | None, trusts_us: bool) -> None:
        Heartbeat.objects.update_or_create(name=ability.FORWARDING, defaults={"at": timezone.now()})
        Service.objects.update(jit_client_trusts_lsp=trusts_us)
        self.wallet_connects(name)
        pubkey = self.network.customers[name].pubkey
        for offer in selling.menu(pubkey):
            size_msat = None if size_sat is None else size_sat * 1000
            try:
                self.purchases.append(selling.buy(Wanted(pubkey, offer.parameters, offer.promise, size_msat)))
            except OrderError as error:
                note(f"  refused: {error}")

    @precondition(lambda self: self.purchases)
    @rule(number=numbers, parts=st.integers(1, 3), missing=st.sampled_from([False, False, True]))
    def wallet_is_paid(self, number: int, parts: int, missing: bool) -> None:
        """By an invoice of its own; what failed for now is tried again by the same one."""
        number %= len(self.purchases)
        invoice, payment = self.asked.get(number, ("", 0))
        if not invoice or self.control.payment(payment).state != FAILED:
            invoice = self.ask(self.purchases[number])
        options = {"parts": parts, "missing_parts": int(missing and parts > 1)}
        paid = self.try_(self.control.pay, invoice, payer=PAYER, **options)
        if paid is not None:
            self.asked[number] = (invoice, int(paid.id))
        if self.is_heard():
            self.hear()

    def ask(self, purchase: JitPurchase) -> str:
        [name] = [each for each in NAMES if self.network.customers[each].pubkey == purchase.node_pubkey]
        size_msat = purchase.payment_size_msat or 60_000_000
        return str(self.control.ask_for_payment(
            name, size_msat, scid=purchase.number, cltv_blocks=purchase.cltv_expiry_delta
        ))  # fmt: skip

    @precondition(lambda self: self.purchases)
    @rule(number=numbers)
    def somebody_lies(self, number: int) -> None:
        """One part, of a satoshi, that says it is of the whole size."""
        purchase = self.purchases[number % len(self.purchases)]
        claimed_msat = purchase.payment_size_msat or 60_000_000
        self.network.lsp.look(lambda world: lie(world, purchase.number, claimed_msat, purchase.cltv_expiry_delta))

    @rule(name=wallets)
    def wallet_connects(self, name: str) -> None:
        """By itself, as it has no address; else nobody reaches it."""
        self.try_(self.control.say_to_node, name, b"hello", type=_GREETING)

    @rule(name=wallets, takes=st.sampled_from(["settles", "settles", "holds", "fails"]))
    def wallet_takes(self, name: str, takes: str) -> None:
        self.network.customers[name].change(takes=takes)

    @rule()
    def payer_comes_back(self) -> None:
        """The node asks once more about what it has in the payer's channel."""
        self.payer.kill()
        self.payer.start()

    # Who hears of them

    @rule(decides=st.booleans())
    def streams_die(self, decides: bool) -> None:
        """With `decides` after everything was written down, and before the node was told."""
        if self.is_heard() and self.ears is not None:
            if decides:
                self.ears.hear(answers=False)
            self.ears.close()
        self.ears = None

    @rule()
    def node_restarts(self) -> None:
        Purchases.node_restarts(self)  # type: ignore[arg-type]
        self.ears = None

    @rule(calls=st.integers(1, 60), after=st.booleans(), newest=st.booleans())
    def engine_dies_at_a_channel(self, calls: int, after: bool, newest: bool) -> None:
        """And starts anew, as at any order."""
        orders = ChannelOrder.objects.filter(door=Door.LSPS2).order_by("-created_at" if newest else "created_at")
        if (order := orders.first()) is not None:
            node: Any = DyingNode(self.shop.node, calls, after=after)
            try:
                advance(order.pk, node=node)
            except Death:
                note("  it died")
            self.forget()

    def is_heard(self) -> bool:
        """Somebody hears of payments, or does now."""
        if self.ears is None or not self.ears.is_open:
            self.ears = Ears(self.network, self.shop.node)
        return self.ears.is_open

    def hear(self) -> None:
        if self.is_heard() and self.ears is not None:
            self.ears.block_came(self.facts().height)
            self.ears.hear()
            self.ears.tell()

    def pass_of_engines(self) -> None:
        """Beside the others the streams process, which hears before and tells after."""
        self.hear()
        super().pass_of_engines()
        self.hear()
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def come_to_rest(self) -> None:
        for customer in self.network.customers.values():
            customer.change(takes="settles", presence="online")
            self.wallet_connects(customer.name)
        self.payer.start()
        super().come_to_rest()
        self.checked(_nothing_waits)

    def go_on_while_it_helps(self) -> None:
        Heartbeat.objects.update_or_create(name=ability.FORWARDING, defaults={"at": timezone.now()})
        super().go_on_while_it_helps()


def _nothing_waits() -> None:
    waiting = JitPart.objects.filter(decision="")
    assert not waiting, f"nobody has decided about {list(waiting)}"


def lie(world: World, scid: int, claimed_msat: int, cltv_blocks: int) -> None:
    """A part comes in whose sender has written what is to go on, and it is more than came."""
    passing, payer = world.passing, world.customers.named(PAYER)
    channel = next((each for each in world.channels.alive(payer.pubkey) if world.is_active(each)), None)
    if channel is None:
        return
    expiry = world.chain.height + 43
    number = passing._next_htlc(channel)
    passing._arrive(channel, Part(
        channel.known_as, number, _lying_payment(world), f"{number:064x}", 1_000_000, expiry + cltv_blocks,
        claimed_msat, expiry, scid,
    ))  # fmt: skip


def _lying_payment(world: World) -> int:
    number = len(world.invoices.payments) + 1
    world.invoices.payments[number] = Payment(number, "00" * 32, PAYER)
    return number
