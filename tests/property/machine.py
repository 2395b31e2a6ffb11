"""Everything that can happen to a shop, in any order."""

from __future__ import annotations

import sys
from typing import Any, ClassVar
from unittest.mock import patch

from django.db import connection as database
from django.test import Client
from django.utils import timezone
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lightning import connection
from lightning.errors import LightningError
from orders import actors, queries, reconcile
from orders.advance import advance
from orders.errors import NotAvailable, OrderError
from orders.models import ChannelOpening, ChannelOrder, OrderEvent
from orders.operations import ending, giving_up
from orders.states import LIVE_OPENINGS, OrderState
from simulator.channels import FORCE_DEPTH
from simulator.control import FAIL, LOSE_REPLY, LOSE_REQUEST, Refused
from tests.e2e.shop import Shop
from tests.property import records, refund_truths, scarcity, truths
from tests.property.dying import Death, DyingNode
from tests.property.inside import InsideNetwork, Loop
from tests.regtest.waiting import until

MOST_ORDERS = 4
#: The RPCs that our engines use.
RPCS = (
    "GetInfo", "ListPeers", "ConnectPeer", "DisconnectPeer", "GetBlockHash", "AddHoldInvoice", "LookupInvoiceV2",
    "ListInvoices", "SettleInvoice", "CancelInvoice", "ListChannels", "PendingChannels", "ClosedChannels",
    "OpenChannel", "FundingStateStep", "AbandonChannel", "NewAddress", "ListUnspent", "GetTransaction",
    "GetTransactions", "FundPsbt", "FinalizePsbt", "PublishTransaction", "ListLeases", "LeaseOutput", "ReleaseOutput",
    "EstimateFee", "RequiredReserve", "BumpFee", "*",
)  # fmt: skip
#: Those after which money or a channel is elsewhere.
DEEDS = (
    "OpenChannel", "FundingStateStep", "FinalizePsbt", "PublishTransaction", "SettleInvoice", "CancelInvoice",
    "LeaseOutput", "AbandonChannel",
)  # fmt: skip
NAMES = ("buyer", "alice")
HOUR = 3600

names = st.sampled_from(NAMES)
#: Most buyers name their node, and pay: an order that goes nowhere shows little.
nodes = st.sampled_from(["buyer", "alice", "buyer", None])
rails = st.sampled_from(["lightning", "onchain", "lightning", "none"])
which = st.integers(0, MOST_ORDERS - 1)


class Purchases(RuleBasedStateMachine):
    """One server, its node, two customers, and up to four orders."""

    loop: ClassVar[Loop]
    coins: ClassVar[dict[str, int]] = {}
    #: So much time passes at the end, one after another, until every window is over.
    windows: ClassVar[tuple[int, ...]] = (60, HOUR, 7 * HOUR, 13 * HOUR, 31 * 24 * HOUR)

    def __init__(self) -> None:
        super().__init__()
        records.empty()
        connection._node_of.cache_clear()
        self.network = InsideNetwork(self.loop, **self.coins)
        self.configure()
        self.shop = Shop(self.network, Client())  # type: ignore[arg-type]  # all that it asks of a network
        self.quotes: list[dict[str, Any]] = []
        self.deposits: list[str] = []
        self.committed: dict[str, int] = {}
        self.pass_of_engines()

    def configure(self) -> None:
        """The settings name this example's node."""

    def teardown(self) -> None:
        try:
            if self.has_begun() and sys.exc_info()[0] is None:  # else a step has failed, and that is the news
                self.come_to_rest()
        finally:
            self.network.stop()

    def has_begun(self) -> bool:
        """Somebody has bought something."""
        return bool(self.quotes)

    # The buyer

    @initialize(node=nodes, rail=rails)
    def first_order(self, node: str | None, rail: str) -> None:
        self.buy(300_000, 0, node, rail)

    @precondition(lambda self: len(self.quotes) < MOST_ORDERS)
    @rule(
        local_sat=st.integers(100_000, 4_000_000),
        remote_sat=st.sampled_from([0, 50_000]),
        node=nodes,
        rail=rails,
    )
    def buy(self, local_sat: int, remote_sat: int, node: str | None, rail: str) -> None:
        answer = self.ask_to_buy(local_sat, remote_sat, node)
        assert answer.status_code in {200, 503}, answer.content
        if answer.status_code != 200:
            return
        self.quotes.append(answer.json())
        number = len(self.quotes) - 1
        if rail == "lightning":
            self.pay(number, 1, False, 0)
        if rail == "onchain":
            self.deposit(number, 0, False)

    def ask_to_buy(self, local_sat: int, remote_sat: int, node: str | None) -> Any:
        body: dict[str, Any] = {"local_balance": local_sat, "remote_balance": remote_sat, "channel_expiry": 4}
        if node:
            body["node_uri"] = self.network.customers[node].p2p_address
        return self.shop.client.post("/channel/buy", body, content_type="application/json")

    @rule(node=nodes, calls=st.integers(1, 4), after=st.booleans())
    def web_dies_while_it_sells(self, node: str | None, calls: int, after: bool) -> None:
        """Nobody gets an answer; what the node or the database has of it ends by itself."""
        dying = DyingNode(self.shop.node, calls, after=after)
        try:
            with patch("lightning.connection.node", return_value=dying):
                self.ask_to_buy(300_000, 0, node)
        except Death:
            note("  it died")
        self.forget()

    @precondition(lambda self: self.quotes)
    @rule(number=which, parts=st.integers(1, 3), missing=st.booleans(), more_sat=st.sampled_from([0, 0, 700]))
    def pay(self, number: int, parts: int, missing: bool, more_sat: int) -> None:
        quote = self.quote(number)
        amount_msat = (quote["total_amount"] + more_sat) * 1000
        self.try_(
            self.control.pay, quote["ln_invoice"], payer="buyer", amount_msat=amount_msat, parts=parts,
            missing_parts=int(missing and parts > 1),
        )  # fmt: skip

    @precondition(lambda self: self.quotes)
    @rule(number=which, more_sat=st.sampled_from([0, 0, -900, 900]), replaceable=st.booleans())
    def deposit(self, number: int, more_sat: int, replaceable: bool) -> None:
        quote = self.quote(number)
        payment = (quote["btc_address"], quote["total_amount"] + more_sat)
        txid = self.try_(self.control.deposit, payment, replaceable=replaceable)
        self.deposits += [txid] if txid else []

    @precondition(lambda self: self.deposits)
    @rule(number=which, number_of_order=which, pays=st.booleans())
    def replace_a_deposit(self, number: int, number_of_order: int, pays: bool) -> None:
        """The stranger takes his unmined money back, or pays an order with it (perhaps the same)."""
        quote = self.quote(number_of_order)
        payments = [(quote["btc_address"], quote["total_amount"])] if pays else []
        txid = self.try_(self.control.replace, self.deposits[number % len(self.deposits)], *payments)
        self.deposits += [txid] if txid else []

    @precondition(lambda self: self.quotes)
    @rule(number=which, name=names, private=st.none() | st.booleans(), by_lnurl=st.booleans(), proves=st.booleans())
    def claim(self, number: int, name: str, private: bool | None, by_lnurl: bool, proves: bool) -> None:
        """For a first node, or for another one, by the buyer or by who knows the id alone."""
        quote, customer = self.quote(number), self.network.customers[name]
        token = {"order_token": quote["order_token"]} if proves else {}
        if by_lnurl:
            privacy = {"private": int(private)} if private else {}
            self.lnurl(quote, remoteid=customer.p2p_address, **privacy, **token)
            return
        body = {"order_id": quote["order_id"], "node_uri": customer.p2p_address, **token}
        body |= {"private": private} if private is not None else {}
        answer = self.shop.client.post("/channel/manual_finalise", body, content_type="application/json")
        assert answer.status_code in {200, 409, 503}, answer.content

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def unclaim(self, number: int) -> None:
        quote = self.quote(number)
        self.lnurl(quote, remoteid=self.network.buyer.pubkey, cancel=1, order_token=quote["order_token"])

    def lnurl(self, quote: dict[str, Any], **query: Any) -> None:
        answer = self.shop.get("/lnurl/channel", k1=quote["order_id"], **query)
        assert answer["status"] in {"OK", "ERROR"}

    # Staff

    @precondition(lambda self: self.quotes)
    @rule(number=which, deed=st.sampled_from([ending.cancel, ending.revive, giving_up.retry]))
    def staff(self, number: int, deed: Any) -> None:
        try:
            deed(self.shop.order(self.quote(number)).pk, actor=actors.staff("ada"))
        except OrderError as error:
            note(f"  refused: {error}")

    # Customers' nodes

    @rule(name=names, presence=st.sampled_from(["online", "offline", "online", "silent"]))
    def customer_is(self, name: str, presence: str) -> None:
        self.network.customers[name].change(presence=presence)

    @rule(name=names, change=st.sampled_from([
        {"refusal": "no channels today"}, {"refusal": ""}, {"vanishes": "open"}, {"vanishes": "verify"},
        {"withholds_signature": True}, {"withholds_signature": False}, {"min_channel_sat": 1_000_000},
    ]))  # fmt: skip
    def customer_behaves(self, name: str, change: dict[str, Any]) -> None:
        self.network.customers[name].change(**change)

    @precondition(lambda self: self.quotes)
    @rule(number=which, force=st.booleans())
    def customer_closes(self, number: int, force: bool) -> None:
        channels = self.facts().channels.get(self.quote(number)["order_id"], [])
        for _, point in [each for each in channels if each[0] == "open"]:
            self.network.buyer.close_channel(point, force=force)

    # The chain, the clock, the node

    @rule(blocks=st.sampled_from([1, 1, 2, 3, 6, 6, 40]), told=st.booleans())
    def mine(self, blocks: int, told: bool) -> None:
        self.network.mine(blocks)
        if told:
            self.look(reconcile.new_block)

    @rule(depth=st.integers(1, 2), waits=st.booleans())
    def reorganise(self, depth: int, waits: bool) -> None:
        """With `waits` what the lost blocks had is in the mempool again, and no longer in a block."""
        self.control.reorganise(depth, [] if waits else None)

    @rule(
        estimate=st.sampled_from([2_530, 2_530, 12_000, 60_000]),
        minimum=st.sampled_from([253, 253, 2_000]),
        evict=st.booleans(),
    )
    def fees_move(self, estimate: int, minimum: int, evict: bool) -> None:
        """With `evict` the mempools have no room for what pays less than the new minimum."""
        self.control.set_fees(estimate, minimum, evict=evict)

    @rule(seconds=st.sampled_from([60, 60, 20 * 60, 2 * HOUR, 7 * HOUR]))
    def time_passes(self, seconds: int) -> None:
        self.control.pass_time(seconds)
        records.age(seconds)

    @rule(
        kind=st.sampled_from([FAIL, LOSE_REQUEST, LOSE_REPLY]),
        rpc=st.sampled_from(DEEDS) | st.sampled_from(RPCS),
        times=st.integers(1, 3),
    )
    def calls_will_go_wrong(self, kind: Any, rpc: str, times: int) -> None:
        self.control.add_fault(rpc, kind, times=times)

    @rule()
    def node_restarts(self) -> None:
        self.network.lsp.restart()
        until(self.node_answers, "the node answers us again")

    def node_answers(self) -> bool:
        try:
            return bool(self.shop.node.info())
        except LightningError:
            return False

    # Our engines

    @rule()
    def engines_turn(self) -> None:
        self.pass_of_engines()

    @rule()
    def engines_turn_later(self) -> None:
        records.hurry()
        self.pass_of_engines()

    @rule(blocks=st.integers(1, 3))
    def engines_turn_as_blocks_come(self, blocks: int) -> None:
        for _ in range(blocks):
            self.network.mine(1)
            records.hurry()
            self.pass_of_engines()

    @rule(number=which, calls=st.integers(1, 70), after=st.booleans())
    def engine_dies_at_an_order(self, number: int, calls: int, after: bool) -> None:
        """And starts anew: nothing but the database and the node remembers."""
        if not self.quotes:
            return
        node: Any = DyingNode(self.shop.node, calls, after=after)
        try:
            advance(self.shop.order(self.quote(number)).pk, node=node)
        except Death:
            note("  it died")
        self.forget()

    @rule(calls=st.integers(1, 15), after=st.booleans(), looking=st.sampled_from([reconcile.look, reconcile.new_block]))
    def engine_dies_at_a_look(self, calls: int, after: bool, looking: Any) -> None:
        """The worker's, or that of the streams when a block has come."""
        node: Any = DyingNode(self.shop.node, calls, after=after)
        try:
            self.look(looking, node)
        except Death:
            note("  it died")
        self.forget()

    def forget(self) -> None:
        connection._node_of.cache_clear()
        database.close()

    def pass_of_engines(self) -> None:
        """As reconcile and the workers do it."""
        self.look(reconcile.look)
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def look(self, looking: Any, node: Any = None) -> None:
        try:
            looking(node or self.shop.node)
        except (LightningError, NotAvailable) as error:
            note(f"  the node cannot be read: {error}")

    # What must be true

    @invariant()
    def always(self) -> None:
        seen = self.facts()
        for order_id in ChannelOrder.objects.filter(state=OrderState.OPENING).values_list("pk", flat=True):
            self.committed.setdefault(str(order_id), seen.height)
        self.checked(truths.check_always, seen)
        self.checked(scarcity.check_promises)
        self.checked(scarcity.check_budgets, self.network.lsp.look(scarcity.costs))

    def come_to_rest(self) -> None:
        """Everything works, everybody is there, and time passes until every window is over."""
        self.control.end_faults()
        self.control.set_fees(2_530, 253)
        for customer in self.network.customers.values():
            customer.change(
                presence="online", refusal="", vanishes="", withholds_signature=False, min_channel_sat=0,
                pending_limit=50,
            )  # fmt: skip
        self.node_restarts()
        for seconds in self.windows:
            self.go_on_while_it_helps()
            self.always()
            self.checked(truths.check_leases, self.facts())
            self.control.pass_time(seconds)
            records.age(seconds)
        self.node_restarts()
        self.nothing_is_under_way()
        while truths.wait_for_blocks(self.facts()):
            self.network.mine(FORCE_DEPTH)
            self.nothing_is_under_way()
        self.checked(truths.check_books_with_wallet, self.shop.node)

    def nothing_is_under_way(self) -> None:
        """But forced closes, whose many blocks come last: a payment that hangs would run out in them, unseen."""
        self.go_on_while_it_helps()
        self.always()
        seen = self.facts()
        self.checked(truths.check_rest, seen, self.committed, truths.wait_for_blocks(seen))

    def go_on_while_it_helps(self) -> None:
        """Blocks come and the engines turn, until three of them have changed nothing and nothing is being opened."""
        quiet, journalled = 0, -1
        for _ in range(30):
            self.network.mine(1)
            records.hurry()
            self.pass_of_engines()
            now = OrderEvent.objects.count()
            under_way = ChannelOpening.objects.filter(state__in=LIVE_OPENINGS).exists() or refund_truths.is_under_way()
            quiet, journalled = (quiet + 1 if now == journalled and not under_way else 0), now
            if quiet == 3:
                return

    def checked(self, check: Any, *arguments: Any) -> None:
        try:
            check(*arguments)
        except AssertionError as false:
            ids = [str(pk) for pk in ChannelOrder.objects.order_by("created_at").values_list("pk", flat=True)]
            stories = "\n\n".join(f"{each}\n{self.shop.story({'order_id': each})}" for each in ids)
            raise AssertionError(f"{false}\n\n{stories}") from None

    # Hands

    @property
    def control(self) -> Any:
        return self.network.lsp.control

    def facts(self) -> truths.Facts:
        return self.network.lsp.look(truths.facts)

    def quote(self, number: int) -> dict[str, Any]:
        return self.quotes[number % len(self.quotes)]

    def try_(self, deed: Any, *arguments: Any, **options: Any) -> Any:
        """What the world does not allow does not happen."""
        try:
            return deed(*arguments, **options)
        except Refused as refused:
            note(f"  refused: {refused}")
            return None
