"""The books: each move is posted in its own transaction, they add up, and nobody changes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from lightning import types
from lightning.types import ChainTransaction, TxOutput
from orders import actors
from orders.books import recounting
from orders.books.posting import About, post, post_once
from orders.models import (
    Account,
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
from tests.booking import CLIENT, FEE, LSP, TOTAL, balances, carry
from tests.factories import (
    DepositFactory,
    NodeFactory,
    OpeningFactory,
    OrderFactory,
    SnapshotFactory,
    TransactionFactory,
    txid,
)
from tests.refunding import RefundFactory
from tests.scripted import BLOCK, ScriptedNode

pytestmark = pytest.mark.django_db

STAFF: Final = actors.staff("alice")


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
        payment_hash=order.hold_invoice.payment_hash, payment_request="", memo="",
        state=types.NodeInvoiceState.ACCEPTED,
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
        {"refunded": -60_000, "given": 58_000, "chain_fees": 2_000},
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
    if spot.make is _by_hand or before == spot.after:  # by the word of a person alone; or nothing is to be posted
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


@pytest.mark.parametrize("amounts", [[], [5], [5, -4], [5, -5]])
def test_an_upgrade_sees_whether_what_it_has_booked_adds_up_before_the_guards_stand(amounts: list[int]) -> None:
    carry()
    migration: Any = import_module("orders.migrations.0021_the_books")
    order = OrderFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # no guard asks
        entry = Entry.objects.create(
            node=order.lsp_node, order=order, at=timezone.now(), kind=EntryKind.PAYMENT, reference="payment:0#1"
        )
        for account, amount in zip([Account.LIGHTNING, Account.BUYERS_HELD], amounts, strict=False):
            Leg.objects.create(entry=entry, account=account, amount_msat=amount)
        cursor.execute(migration.WRONG)
        assert cursor.fetchone() == (None if sum(amounts) == 0 and amounts else (entry.reference,))
        cursor.execute("SET LOCAL session_replication_role = origin")
