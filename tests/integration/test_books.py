"""The books: each move is posted in its own transaction, they add up, and nobody changes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from lightning import types
from lightning.errors import NodeUnavailable
from lightning.types import ChainTransaction, Outpoint, TxOutput
from orders import actors, tasks
from orders.auditing import checking, wallet
from orders.books import exporting, recounting
from orders.books.posting import About, post, post_once
from orders.models import (
    Account,
    BooksCheck,
    ChannelOpening,
    ChannelOrder,
    Entry,
    EntryKind,
    Leg,
    OnchainPayment,
    WalletTransaction,
)
from orders.operations import ending, refunding
from orders.payments.lightning.holding import hold
from orders.payments.onchain import recording, sending
from orders.payments.onchain import refunding as going_back
from orders.states import InvoiceState, OpeningState, RefundState, TransactionState
from orders.transitions import locked, move_invoice, move_opening, move_refund, move_transaction
from tests.booking import carry
from tests.factories import (
    DepositFactory,
    NodeFactory,
    OpeningFactory,
    OrderFactory,
    SnapshotFactory,
    TransactionFactory,
    txid,
)
from tests.integration.staff import page_of, seen
from tests.refunding import RefundFactory
from tests.scripted import BLOCK, ScriptedNode, mined, unmined
from watch.doctor import Health, records

pytestmark = pytest.mark.django_db

STAFF: Final = actors.staff("alice")


def balances(order: ChannelOrder) -> dict[str, int]:
    """What the order has in each account, in satoshis; a debit is positive."""
    found: dict[str, int] = {}
    for leg in Leg.objects.filter(entry__order=order):
        found[leg.account] = found.get(leg.account, 0) + leg.amount_msat // 1000
    return {account: sat for account, sat in found.items() if sat}


def reload(order: ChannelOrder) -> ChannelOrder:
    return ChannelOrder.objects.get(pk=order.pk)


# What the database itself sees to


def entry(**given: Any) -> Entry:
    return Entry.objects.create(node=NodeFactory(), at=timezone.now(), kind="deposit", reference="deposit:x", **given)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("amounts", [[], [0], [5], [5, -4], [5, -5, 1]])
def test_an_entry_that_does_not_add_up_is_refused_when_its_transaction_ends(amounts: list[int]) -> None:
    accounts = ["wallet", "buyers_onchain", "chain_fees"]
    with pytest.raises(IntegrityError, match="does not add up|leg_moves_something"), transaction.atomic():
        made = entry()
        for account, amount in zip(accounts, amounts, strict=False):
            Leg.objects.create(entry=made, account=account, amount_msat=amount)
    assert not Entry.objects.exists() and not Leg.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_leg_that_is_added_later_is_refused_too() -> None:
    post(About(EntryKind.DEPOSIT, "x", node_id=NodeFactory().pk), {Account.WALLET: 5, Account.BUYERS_ONCHAIN: -5})
    with pytest.raises(IntegrityError, match="does not add up"):
        Leg.objects.create(entry=Entry.objects.get(), account="losses", amount_msat=1)


@pytest.mark.parametrize("table", ["orders_entry", "orders_leg"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_what_is_in_the_books_stays_as_it_is(table: str, change: str) -> None:
    post(About(EntryKind.DEPOSIT, "x", node_id=NodeFactory().pk), {Account.WALLET: 5, Account.BUYERS_ONCHAIN: -5})
    with pytest.raises(IntegrityError, match="not changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))


def test_what_was_found_once_is_booked_once_and_what_is_moved_again_is_numbered() -> None:
    about, legs = About(EntryKind.SWEEP, "x", node_id=NodeFactory().pk), {Account.WALLET: 5, Account.CHANNELS: -5}
    post_once(about, legs)
    post_once(about, legs)
    post(replace(about, kind=EntryKind.DEPOSIT), legs)
    post(replace(about, kind=EntryKind.DEPOSIT), legs)
    post(about, dict.fromkeys(legs, 0))
    assert [row.reference for row in Entry.objects.all()] == ["sweep:x", "deposit:x#1", "deposit:x#2"]


# Each spot that posts, and what it leaves


@dataclass(frozen=True)
class Spot:
    """A move of money: what there is before, how it is made, and what the order has in its accounts after it."""

    before: Callable[[], ChannelOrder]
    make: Callable[[ChannelOrder], None]
    after: dict[str, int]


def _hold(order: ChannelOrder) -> None:
    SnapshotFactory()
    msat = order.order_total_sat * 1000
    held = types.Invoice(
        payment_hash=order.hold_invoice.payment_hash, memo="", state=types.NodeInvoiceState.ACCEPTED,
        value_sat=order.order_total_sat, held_msat=msat, settled_msat=0, nearest_expiry_height=1_000, add_index=1,
    )  # fmt: skip
    hold(order.pk, held)


def _invoice(to: InvoiceState, **fields: Any) -> Callable[[ChannelOrder], None]:
    def make(order: ChannelOrder) -> None:
        with locked(order.pk) as held:
            move_invoice(held, held.hold_invoice, to, **fields)

    return make


def _opening(to: OpeningState) -> Callable[[ChannelOrder], None]:
    def make(order: ChannelOrder) -> None:
        with locked(order.pk) as held:
            move_opening(held, held.openings.get(), to)

    return make


def _transaction(to: TransactionState) -> Callable[[ChannelOrder], None]:
    def make(order: ChannelOrder) -> None:
        move_transaction(WalletTransaction.objects.get().pk, to)

    return make


def _refund(to: RefundState) -> Callable[[ChannelOrder], None]:
    def make(order: ChannelOrder) -> None:
        with locked(order.pk) as held:
            move_refund(held, held.refunds.get(), to)

    return make


def _deposit(confirmations: int) -> Callable[[ChannelOrder], None]:
    def make(order: ChannelOrder) -> None:
        output = TxOutput(1, str(order.deposit_address), 70_000, True)
        height = 790 if confirmations else 0
        seen = ChainTransaction(txid("in"), confirmations, height, 1_700_000_000, "", b"", (output,), (), BLOCK)
        assert recording.record([seen])

    return make


def _gone(order: ChannelOrder) -> None:
    recording.forget(OnchainPayment.objects.all(), [])


def _intend(order: ChannelOrder) -> None:
    assert going_back.intend(order.pk) is not None


def _mined(order: ChannelOrder) -> None:
    """As `sending` records it."""
    refund = order.refunds.get()
    assert refund.transaction is not None
    sending._record_mined(refund, refund.transaction, is_deep=False, node=ScriptedNode())  # type: ignore[arg-type]


def _keep(order: ChannelOrder) -> None:
    refunding.keep(order.pk, reason="he asked", actor=STAFF)


def _release(order: ChannelOrder) -> None:
    refunding.release(order.pk, actor=STAFF)


def _by_hand(order: ChannelOrder) -> None:
    ending.record_returned(order.pk, actor=STAFF)


def _expired(amount_sat: int) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(expired=True)
    DepositFactory(order=order, amount_sat=amount_sat, block_height=700, confirmations=99)
    order.lsp_node.deposits_height = 800
    order.lsp_node.save()
    return order


def _publishing(**more: Any) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(opening=True, attempts=False, invoice__state=InvoiceState.HELD, **more)
    OpeningFactory(order=order, state=OpeningState.PUBLISHING)
    return order


def _refunding(**more: Any) -> ChannelOrder:
    order: ChannelOrder = RefundFactory(**more).order
    return order


#: A million and a channel of 50,000 sat on the buyer's side, which costs 8,120 sat: 58,120 in all.
FEE, CLIENT, LSP = 8_120, 50_000, 1_000_000
TOTAL = FEE + CLIENT
SPOTS: Final = {
    "a payment is held": Spot(OrderFactory, _hold, {"lightning": TOTAL, "buyers_held": -TOTAL}),
    "a payment goes back": Spot(
        lambda: OrderFactory(paid_lightning=True),
        _invoice(InvoiceState.CANCELLED),
        {"refunded": -TOTAL, "given": TOTAL},
    ),
    "a payment is settled": Spot(
        lambda: OrderFactory(opening=True, invoice__state=InvoiceState.HELD),
        _invoice(InvoiceState.SETTLED),
        {
            "lightning": TOTAL, "delivered": -CLIENT, "fees_earned": -FEE,
            "wallet": -LSP - CLIENT - 2_000, "channels": LSP, "given": CLIENT, "chain_fees": 2_000,
        },
    ),
    "a payment is settled that is too much": Spot(
        lambda: OrderFactory(opening=True, invoice__state=InvoiceState.HELD, invoice__held_sat=TOTAL + 7_000),
        _invoice(InvoiceState.SETTLED),
        {
            "lightning": TOTAL + 7_000, "delivered": -CLIENT, "fees_earned": -FEE, "buyers_onchain": -7_000,
            "wallet": -LSP - CLIENT - 2_000, "channels": LSP, "given": CLIENT, "chain_fees": 2_000,
        },
    ),
    "a payment is gone of a channel that is published": Spot(
        lambda: OrderFactory(opening=True, invoice__state=InvoiceState.HELD),
        _invoice(InvoiceState.CANCELLED),
        {
            "refunded": -TOTAL, "losses": CLIENT, "given": TOTAL,
            "wallet": -LSP - CLIENT - 2_000, "channels": LSP, "chain_fees": 2_000,
        },
    ),
    "a payment is settled by hand, and nothing is delivered": Spot(
        lambda: OrderFactory(give_up=True, invoice__state=InvoiceState.RETURNING),
        _invoice(InvoiceState.SETTLED),
        {"lightning": TOTAL, "buyers_held": -TOTAL},
    ),
    "a deposit is in a block": Spot(OrderFactory, _deposit(3), {"wallet": 70_000, "buyers_onchain": -70_000}),
    "a deposit is taken back": Spot(
        lambda: DepositFactory(
            order=OrderFactory(), txid=txid("in"), vout=1, amount_sat=70_000, block_height=790, confirmations=3
        ).order,
        _deposit(0),
        {},
    ),
    "a deposit vanishes": Spot(lambda: OrderFactory(paid_onchain=True), _gone, {}),
    "a funding is published": Spot(
        _publishing,
        _opening(OpeningState.PUBLISHED),
        {
            "lightning": TOTAL, "buyers_held": -TOTAL,
            "wallet": -LSP - CLIENT, "channels": LSP, "given": CLIENT,
        },
    ),
    "a funding is published that deposits have paid": Spot(
        lambda: _publishing(counted_payment="onchain", invoice=False),
        _opening(OpeningState.PUBLISHED),
        {
            "wallet": TOTAL - LSP - CLIENT, "delivered": -CLIENT, "fees_earned": -FEE,
            "channels": LSP, "given": CLIENT,
        },
    ),
    "a published funding is double-spent": Spot(
        lambda: OrderFactory(opening=True, counted_payment="onchain", invoice=False),
        _opening(OpeningState.CANCELLING),
        {"wallet": TOTAL - 2_000, "buyers_onchain": -TOTAL, "chain_fees": 2_000},
    ),
    "the fee of a funding": Spot(
        lambda: _with_transaction("funding", TransactionState.SIGNED),
        _transaction(TransactionState.PUBLISHED),
        {"wallet": -2_000, "chain_fees": 2_000},
    ),
    "the fee of a funding that will never be mined": Spot(
        lambda: _with_transaction("funding", TransactionState.PUBLISHED), _transaction(TransactionState.EXCLUDED), {}
    ),
    "the fee of a conflict": Spot(
        lambda: _with_transaction("conflict", TransactionState.PUBLISHED),
        _transaction(TransactionState.DEEP),
        {"wallet": -2_000, "chain_fees": 2_000},
    ),
    "money is to go back": Spot(
        lambda: _expired(70_000), _intend, {"wallet": 70_000, "refunds_under_way": -70_000}
    ),
    "money is too little to go back": Spot(lambda: _expired(700), _intend, {"wallet": 700, "kept": -700}),
    "money is kept": Spot(
        _refunding,
        _keep,
        {"wallet": 60_000, "kept": -60_000},
    ),
    "money that was kept is released": Spot(
        lambda: _refunding(kept=True),
        _release,
        {"wallet": 60_000, "refunds_under_way": -60_000},
    ),
    "money is owed otherwise again": Spot(
        _refunding, _refund(RefundState.WITHDRAWN), {"wallet": 60_000, "buyers_onchain": -60_000}
    ),
    "money is back on chain": Spot(
        lambda: _refunding(published=True),
        _mined,
        {"refunded": -60_000, "given": 59_700, "chain_fees": 300},
    ),
    "money was returned by hand": Spot(
        lambda: _expired(70_000), _by_hand, {"wallet": 70_000, "refunded": -70_000}
    ),
}  # fmt: skip


def _with_transaction(kind: str, state: TransactionState) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(uri_set=True, invoice=False)
    TransactionFactory(kind=kind, state=state, label=f"{kind}:{order.pk}")
    return order


@pytest.mark.parametrize("spot", SPOTS.values(), ids=SPOTS.keys())
def test_a_move_is_in_the_books_with_its_own_transaction(spot: Spot) -> None:
    order = spot.before()
    carry()
    spot.make(reload(order))
    assert balances(order) == spot.after
    assert recounting.differences() == ([], 0)
    assert recounting.unbalanced() == []


def _nothing(*_: Any, **__: Any) -> None:
    """Nobody has posted it."""


@pytest.mark.parametrize("spot", SPOTS.values(), ids=SPOTS.keys())
def test_control_a_move_that_is_not_posted_is_found_and_its_order_named(
    spot: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = spot.before()
    carry()
    before = balances(order)
    monkeypatch.setattr("orders.books.following", lambda *_: nullcontext())
    for name in ("deposits", "refund_begun", "returned_by_hand", "transaction_moved"):
        monkeypatch.setattr(f"orders.books.{name}", _nothing)
    spot.make(reload(order))
    assert balances(order) == before
    if spot.make is _by_hand:  # by the word of a person alone: the books are where it stands
        return
    differences, count = recounting.differences()
    assert count and {each.order_id for each in differences} == {order.pk}


def test_control_an_entry_that_nothing_has_moved_is_found_with_what_it_is_too_much() -> None:
    order = OrderFactory(paid_lightning=True)
    carry()
    about = About(EntryKind.PAYMENT, "stray", order.pk, order.lsp_node_id)
    post(about, {Account.LIGHTNING: 5_000, Account.BUYERS_HELD: -5_000})
    found, _ = recounting.differences()
    assert {(each.order_id, each.account, each.by_msat) for each in found} == {
        (order.pk, "lightning", 5_000), (order.pk, "buyers_held", -5_000),
    }  # fmt: skip


def test_a_quote_has_no_entry() -> None:
    OrderFactory()
    carry()
    assert not Entry.objects.exists()
    assert recounting.differences() == ([], 0)


def test_all_orders_are_compared_in_one_statement(django_assert_num_queries: Any) -> None:
    for trait in ("paid_lightning", "open", "refunded", "give_up", "rejected"):
        OrderFactory(**{trait: True})
        OrderFactory(**{trait: True})
    carry()
    with django_assert_num_queries(1):
        assert recounting.differences() == ([], 0)


def test_who_was_delivered_for_a_deposit_that_is_gone_is_a_loss_with_a_name() -> None:
    order = OrderFactory(open=True, counted_payment="onchain", invoice=False)
    carry()
    _gone(order)
    assert recounting.uncovered() == [(order.pk, TOTAL * 1000)]
    assert recounting.differences() == ([], 0)


# Beside the wallet


class Node(ScriptedNode):
    """A node with a wallet, whose coins are what its transactions have left."""

    def __init__(self, *transactions: ChainTransaction) -> None:
        super().__init__()
        self.wallet = {each.txid: each for each in transactions}
        self.besides_sat = 0

    def coins(self, *, min_confirmations: int) -> Any:
        spent = {outpoint for tx in self.wallet.values() for outpoint in tx.inputs}
        own = [(Outpoint(tx.txid, o.index), o) for tx in self.wallet.values() for o in tx.outputs if o.ours]
        left = [(outpoint, o.amount_sat) for outpoint, o in own if outpoint not in spent]
        besides = [(Outpoint("ee" * 32, 0), self.besides_sat)] if self.besides_sat else []
        return tuple(types.Utxo(outpoint, "bcrt1q", sat, 9) for outpoint, sat in left + besides)

    def foreign_coins(self) -> Any:
        return ()


def ours(index: int, sat: int, address: str = "bcrt1qours") -> TxOutput:
    return TxOutput(index, address, sat, True)


def theirs(index: int, sat: int) -> TxOutput:
    return TxOutput(index, "bcrt1qtheirs", sat, False)


COINS = mined("c0" * 32, confirmations=99, height=700, outputs=[ours(0, 3_000_000)])


def look(node: Node) -> checking.Report:
    return checking.check(node)  # type: ignore[arg-type]


def sold() -> tuple[ChannelOrder, ChainTransaction]:
    """An open channel, and its funding in the wallet."""
    order = OrderFactory(open=True)
    opening = order.openings.get()
    change = 3_000_000 - opening.capacity_sat - 2_000
    outputs = [theirs(0, opening.capacity_sat), ours(1, change)]
    tx = mined(opening.transaction.txid, confirmations=9, outputs=outputs, inputs=[Outpoint("c0" * 32, 0)])
    return order, tx


def test_a_funding_is_in_the_wallet_as_in_the_books_and_what_others_did_is_no_alarm() -> None:
    _, funding = sold()
    carry()
    report = look(Node(COINS, funding))
    assert report.adds_up and report.node is not None
    assert (report.node.wrong, report.node.difference_sat, report.node.unsettled_sat) == ([], 0, 0)
    assert report.node.categories == {"not_ours": (1, 3_000_000), "funding": (1, -LSP - CLIENT - 2_000)}


def test_a_satoshi_that_the_funding_cost_beside_what_we_know_is_found() -> None:
    _, funding = sold()
    carry()
    short = replace(funding, outputs=(funding.outputs[0], ours(1, funding.outputs[1].amount_sat - 1)))
    report = look(Node(COINS, short))
    assert not report.adds_up and report.node is not None
    (wrong,) = report.node.wrong
    assert (wrong.txid, wrong.category) == (funding.txid, "funding")
    assert wrong.wallet_sat == wrong.booked_sat - 1
    assert funding.txid[:16] in checking.words(report)


def test_what_our_records_call_deep_and_the_wallet_has_not_got_is_found() -> None:
    sold()
    carry()
    report = look(Node(COINS))
    assert not report.adds_up and report.node is not None
    assert [(each.category, each.wallet_sat) for each in report.node.wrong] == [("missing", None)]


def test_what_is_not_deep_yet_is_counted_and_no_alarm() -> None:
    _, funding = sold()
    WalletTransaction.objects.update(state=TransactionState.PUBLISHED)
    ChannelOpening.objects.update(state=OpeningState.PUBLISHED)
    carry()
    assert look(Node(COINS, replace(funding, confirmations=2))).adds_up
    gone = look(Node(COINS))
    assert gone.adds_up and gone.node is not None
    assert gone.node.unsettled_sat == LSP + CLIENT + 2_000


def test_coins_that_no_transaction_explains_are_found() -> None:
    node = Node(COINS)
    node.besides_sat = 7
    report = look(node)
    assert not report.adds_up and report.node is not None
    assert report.node.difference_sat == 7
    assert "+7 sat" in checking.words(report)


def test_a_label_of_ours_without_a_row_is_found() -> None:
    order = OrderFactory(uri_set=True)
    carry()
    lost = mined("fa" * 32, confirmations=9, label=f"funding:{order.pk}", inputs=[Outpoint("c0" * 32, 0)])
    report = look(Node(COINS, lost))
    assert report.node is not None
    assert [(each.category, each.booked_sat) for each in report.node.wrong] == [("astray", 0)]


def test_what_staff_sent_back_by_hand_is_told_and_is_no_alarm() -> None:
    order = OrderFactory(expired=True)
    sent = mined("fa" * 32, confirmations=9, label=f"refund {order.pk}", inputs=[Outpoint("c0" * 32, 0)])
    report = look(Node(COINS, sent))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.BY_HAND] == (1, -3_000_000)


def test_a_deposit_that_has_no_row_is_found_and_what_came_beside_one_is_not_ours() -> None:
    order = OrderFactory(paid_onchain=True)
    deposit = order.onchain_payments.get()
    outputs = [ours(0, 400), ours(1, deposit.amount_sat, str(order.deposit_address))]
    there = mined(deposit.txid, confirmations=9, outputs=outputs)
    carry()
    report = look(Node(COINS, there))
    assert report.adds_up and report.node is not None
    assert report.node.categories == {"not_ours": (2, 3_000_400), "deposit": (1, TOTAL)}
    more = replace(there, outputs=(*outputs, ours(2, 90, str(order.deposit_address))))
    assert [each.wallet_sat for each in (look(Node(COINS, more)).node or report.node).wrong] == [TOTAL + 90]


def test_a_child_that_pays_for_a_funding_is_booked_once_it_is_deep_and_once() -> None:
    order, funding = sold()
    WalletTransaction.objects.update(bumped_at=timezone.now())
    carry()
    change = funding.outputs[1].amount_sat
    child = unmined("cd" * 32, label="0:sweep", outputs=[ours(0, change - 900)], inputs=[Outpoint(funding.txid, 1)])
    shallow = look(Node(COINS, funding, child))
    assert shallow.adds_up and shallow.node is not None and shallow.node.unsettled_sat == -900
    assert not Entry.objects.filter(kind="child").exists()
    deep = replace(child, confirmations=9, block_height=799, block_hash=BLOCK)
    for _ in range(2):
        report = look(Node(COINS, funding, deep))
        assert report.adds_up and report.node is not None and report.node.unsettled_sat == 0
    assert Entry.objects.get(kind="child").order == order
    assert balances(order)["chain_fees"] == 2_900


def test_what_somebody_sends_of_a_bumped_fundings_change_is_not_ours() -> None:
    _, funding = sold()
    WalletTransaction.objects.update(bumped_at=timezone.now())
    carry()
    change = funding.outputs[1].amount_sat
    sent = mined("cd" * 32, confirmations=9, label="external", outputs=[ours(0, change - 900)],
                 inputs=[Outpoint(funding.txid, 1)])  # fmt: skip
    report = look(Node(COINS, funding, sent))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.NOT_OURS] == (2, 3_000_000 - 900)


def closing(order: ChannelOrder, *, close_type: str = "cooperative_close") -> ChainTransaction:
    """The close of its channel, of which 700,000 sat come back for a fee of 500."""
    opening = order.openings.get()
    ChannelOpening.objects.update(closing_txid="c1" * 32, close_height=780, close_type=close_type)
    rest = opening.capacity_sat - 700_000 - 500
    outputs = [ours(0, 700_000), theirs(1, rest)]
    return mined("c1" * 32, confirmations=9, outputs=outputs, inputs=[Outpoint(opening.transaction.txid, 0)])


def test_a_close_brings_back_what_is_ours_costs_its_fee_and_the_rest_has_gone_by_lightning() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    carry()
    report = look(Node(COINS, funding, closing(order)))
    assert report.adds_up, checking.words(report)
    found = balances(order)
    assert found["close_costs"] == 500 and "channels" not in found
    assert found["wallet"] == 700_000 - LSP - CLIENT - 2_000
    assert found["lightning"] == TOTAL + LSP - 700_500
    assert look(Node(COINS, funding, closing(order))).adds_up and balances(order) == found


def test_a_forced_close_is_swept_to_its_last_child() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    close = replace(closing(order), outputs=(theirs(0, 700_000), theirs(1, LSP + CLIENT - 700_500)))
    sweep = mined("5e" * 32, confirmations=8, outputs=[theirs(0, 699_000)], inputs=[Outpoint(close.txid, 0)])
    last = mined("5f" * 32, confirmations=7, outputs=[ours(0, 698_000)], inputs=[Outpoint(sweep.txid, 0)])
    carry()
    report = look(Node(COINS, funding, last, sweep, close))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.SWEEP] == (2, 698_000)
    found = balances(order)
    assert found["close_costs"] == 500 + 1_000 + 1_000 and "channels" not in found


def test_a_channel_that_never_was_is_a_loss() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    ChannelOpening.objects.update(close_height=780, close_type="funding_canceled")
    carry()
    look(Node(COINS, funding))
    assert balances(order)["losses"] == LSP


def test_a_block_that_is_in_the_chain_no_more_books_nothing_and_alarms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    carry()
    stale = replace(closing(order), block_hash="00" * 32)
    node = Node(COINS, funding, stale)
    report = look(node)
    assert report.adds_up and not Entry.objects.filter(kind="close").exists()


# Told


def run(*arguments: str) -> tuple[str, int]:
    """What the command says, and its exit code."""
    out, code = io.StringIO(), 0
    try:
        call_command("check_books", *arguments, stdout=out)
    except SystemExit as left:
        code = int(left.code or 0)
    return out.getvalue(), code


def off_by(order: ChannelOrder) -> None:
    about = About(EntryKind.PAYMENT, "stray", order.pk, order.lsp_node_id)
    post(about, {Account.LIGHTNING: 5_000, Account.BUYERS_HELD: -5_000})


def test_the_command_ends_with_1_where_something_does_not_add_up_and_names_it() -> None:
    order = OrderFactory(paid_lightning=True)
    carry()
    assert run("--records")[1] == 0
    off_by(order)
    told, code = run("--records")
    assert code == 1
    assert str(order.pk) in told and "lightning is" in told
    facts, code = run("--records", "--json")
    assert code == 1 and json.loads(facts)["differences"][0]["order"] == str(order.pk)
    assert not BooksCheck.objects.exists()  # half a look is none to tell of


def test_an_accountant_gets_a_line_for_each_leg_and_no_orders_whole_id(tmp_path: Any) -> None:
    order = OrderFactory(open=True)
    carry()
    told, code = run("--csv", str(tmp_path / "books.csv"))
    rows = list(csv.DictReader((tmp_path / "books.csv").open()))
    assert code == 0 and told.startswith(f"{Leg.objects.count()} lines") and len(rows) == Leg.objects.count()
    assert tuple(rows[0]) == exporting.HEAD
    assert sum(int(row["debit_msat"]) for row in rows) == sum(int(row["credit_msat"]) for row in rows) > 0
    assert {row["order"] for row in rows} == {str(order.pk)[:8]}
    assert str(order.pk) not in (tmp_path / "books.csv").read_text()
    assert run("--csv", "-")[0].replace("\r\n", "\n") == (tmp_path / "books.csv").read_text()


def test_the_clock_looks_once_in_its_time_and_hourly_while_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    node = Node(COINS)
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    order = OrderFactory(paid_lightning=True)
    carry()
    assert "add up" in tasks.check_books() and tasks.check_books() == "not yet"
    off_by(order)
    BooksCheck.objects.update(at=timezone.now() - timedelta(seconds=settings.BOOKS_CHECK_SECONDS))
    assert str(order.pk)[:8] in tasks.check_books() and tasks.check_books() == "not yet"
    last = BooksCheck.objects.first()
    assert last is not None and not last.adds_up and str(order.pk) not in json.dumps(last.facts)
    BooksCheck.objects.update(at=timezone.now() - timedelta(hours=1))
    assert "not as our rows say" in tasks.check_books()


def test_a_node_that_is_away_is_asked_an_hour_later_and_nothing_is_told_of_the_books(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away(Node):
        def transactions(self, *, from_height: int) -> Any:
            raise NodeUnavailable("connection refused")

    monkeypatch.setattr("lightning.connection.node", Away)
    assert tasks.check_books() == "the node is away"
    assert not BooksCheck.objects.exists()


def test_the_doctor_tells_of_the_last_look() -> None:
    assert records.books(None, True, "", 0).health is Health.OK
    assert records.books(60, True, "they add up", 100).health is Health.OK
    assert records.books(200, True, "they add up", 100).health is Health.WARNING
    assert records.books(60, False, "they do not", 100).health is Health.FAILURE


def test_staff_see_an_orders_entries_on_its_page_and_all_of_them_in_a_list(boss: Client) -> None:
    order, other = OrderFactory(open=True), OrderFactory(paid_lightning=True)
    carry()
    page = seen(boss.get(page_of(order)))
    assert "Fees earned" in page and "8,120 sat credit" in page
    listed = boss.get("/admin/orders/entry/", {"legs__account__exact": "fees_earned"})
    assert {row.order_id for row in listed.context["cl"].result_list} == {order.pk}
    assert "8,120 sat credit" in seen(listed)
    found = boss.get("/admin/orders/entry/", {"q": str(other.pk)})
    assert {row.order_id for row in found.context["cl"].result_list} == {other.pk}
    one = Entry.objects.filter(order=other).get()
    assert "Lightning payment" in seen(boss.get(f"/admin/orders/entry/{one.pk}/change/"))


def test_staff_take_entries_away_as_a_table(boss: Client) -> None:
    order = OrderFactory(open=True)
    carry()
    rows = list(Entry.objects.values_list("pk", flat=True))
    answer = boss.post("/admin/orders/entry/", {"action": "as_csv", "_selected_action": rows})
    lines = answer.content.decode().splitlines()
    assert answer["Content-Type"].startswith("text/csv")
    assert len(lines) == 1 + Leg.objects.count() and str(order.pk) not in answer.content.decode()


def test_the_first_page_of_the_admin_says_whether_they_add_up(boss: Client) -> None:
    assert "Books" not in seen(boss.get("/admin/"))
    BooksCheck.objects.create(at=timezone.now(), adds_up=False, words="they do not")
    assert "do not add up" in seen(boss.get("/admin/"))
