"""What the mends of earlier losses must not bring about themselves."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from lightning.errors import NodeUnavailable, OutcomeUnknown, PeerOffline
from lightning.types import Lease, NodeAddress, NodeInvoiceState, Outpoint, Peer, TxOutput
from orders import actors, flags, keys, marks, queries, reconcile
from orders.advance import advance
from orders.causes import FlagKind
from orders.errors import NotClaimable, NotPossible
from orders.models import ChannelOpening, ChannelOrder, Flag, HoldInvoice, Node, OnchainPayment, SwitchName
from orders.openings import cancelling, conflicting, opening, terms, turns
from orders.operations import claiming, ending, pausing
from orders.payments import lightning as lightning_rail
from orders.payments.onchain import recording, watching
from orders.states import InvoiceState, OpeningState, OrderState
from tests.factories import (
    DepositFactory,
    OpeningFactory,
    OrderFactory,
    SnapshotFactory,
    TransactionFactory,
    pubkey,
    txid,
)
from tests.scripted import ScriptedNode, channel, held, mined, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def look(order: Any, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def test_a_late_deposit_that_was_returned_by_hand_is_recorded() -> None:
    order = OrderFactory(expired=True)
    with pytest.raises(NotPossible):
        ending.record_returned(order.pk, actor=actors.staff("ada"))  # nothing was received
    DepositFactory(order=order)
    assert ending.record_returned(order.pk, actor=actors.staff("ada")).state == OrderState.REFUNDED


def test_a_claimed_order_that_a_wrong_clock_put_off_for_a_year_moves_again(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, due_at=timezone.now() + timedelta(days=365))
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    assert order.pk in queries.due_ids(timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    due_at = queries.order_or_raise(order.pk).due_at
    assert due_at is not None and due_at < timezone.now() + timedelta(days=1)


def test_an_unpaid_order_with_a_long_life_is_not_looked_at_all_the_time(node: ScriptedNode) -> None:
    order = OrderFactory(expires_at=timezone.now() + timedelta(hours=20), due_at=timezone.now())
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.OPEN)
    look(order, node)
    assert order.pk not in queries.due_ids(timezone.now())


def test_a_deposit_that_could_not_be_recorded_is_read_again(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory()
    Node.objects.update(deposits_height=700)
    output = TxOutput(1, order.deposit_address, order.order_total_sat, True)
    node.wallet[txid("deposit")] = mined(txid("deposit"), confirmations=51, height=750, outputs=[output])

    def locked_out(*_: Any) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_record", locked_out)
        reconcile.look(node)  # type: ignore[arg-type]
    assert not OnchainPayment.objects.exists()
    node.height = 810
    reconcile.look(node)  # type: ignore[arg-type]
    assert OnchainPayment.objects.filter(order=order).exists()


def test_a_node_that_does_not_know_the_invoice_for_a_moment_ends_no_payment(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True)
    HoldInvoice.objects.update(state=InvoiceState.HELD, settled_at=None)
    sent = order.openings.get().transaction
    node.wallet[sent.txid] = unmined(sent.txid)
    lightning_rail.settle(order.pk, node)  # type: ignore[arg-type]
    order.refresh_from_db()
    assert order.needs_staff and HoldInvoice.objects.get().state == InvoiceState.HELD
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.calls.clear()
    look(order, node)
    assert "settle_invoice" in node.calls


def test_a_lost_answer_to_publishing_puts_nothing_out_that_was_published(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(opening=True)
    HoldInvoice.objects.update(state=InvoiceState.HELD, settled_at=None)
    row = order.openings.get()
    ChannelOpening.objects.update(state=OpeningState.PUBLISHING, changed_at=timezone.now() - timedelta(hours=2))
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    ours = Outpoint(row.transaction.txid, 0)
    node.pending = [pending(ours, order)]

    def publish(raw: bytes, *, label: str) -> None:
        node.wallet[ours.txid] = unmined(ours.txid, label=label)
        raise OutcomeUnknown("deadline exceeded")

    monkeypatch.setattr(node, "publish", publish)
    monkeypatch.setattr(conflicting, "begin", lambda *_, **__: pytest.fail("it was put out"))
    look(order, node)
    assert order.openings.get().state == OpeningState.PUBLISHED


def test_what_staff_have_resumed_after_is_no_reason_to_pause_again(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PAUSE_IF_BEHIND = True
    monkeypatch.setattr(reconcile, "_asked", set())
    node.open = [channel(Outpoint(txid("lost"), 0), OrderFactory.build(id=uuid4(), node_pubkey=pubkey(3)))]
    reconcile.look(node)  # type: ignore[arg-type]
    assert queries.paused(SwitchName.SALES)
    for name in SwitchName:
        pausing.resume(name, actor=actors.staff("ada"))
    reconcile._asked.clear()  # the worker was started anew
    reconcile.look(node)  # type: ignore[arg-type]
    assert queries.paused(SwitchName.SALES) is None


def test_an_order_paid_on_chain_needs_no_preimage(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, counted_payment="onchain")
    deposit = order.onchain_payments.get()
    node.wallet[deposit.txid] = mined(deposit.txid)
    HoldInvoice.objects.update(payment_hash="ab" * 32, state=InvoiceState.CANCELLED)
    opening.attempt(queries.order_or_raise(order.pk), node)  # type: ignore[arg-type]
    assert "connect" in node.calls


def test_a_buyer_who_changed_his_mind_too_often_can_still_be_claimed_for() -> None:
    order, address = OrderFactory(paid_onchain=True), NodeAddress(pubkey(5), "203.0.113.9:9735")
    buyer = actors.buyer(order.pk, keys.order_token(order.pk))
    for _ in range(claiming.MOST_CHANGES // 2):
        claiming.claim(order.pk, address, announced=None, actor=buyer)
        claiming.unclaim(order.pk, actor=buyer)
    claiming.claim(order.pk, address, announced=None, actor=buyer)
    with pytest.raises(NotClaimable, match="too often"):
        claiming.unclaim(order.pk, actor=buyer)


def test_no_more_attempts_begin_than_may_although_all_were_ready(node: ScriptedNode, settings: Any) -> None:
    settings.PARALLEL_OPENINGS = 3
    orders = [OrderFactory(uri_set=True, node_pubkey=pubkey(20 + number)) for number in range(6)]
    assert all(opening._ready(order, terms.of(order), node, turns.HERE, None) for order in orders)  # type: ignore[arg-type]
    begun = [opening._intend(order.pk, terms.of(order)) for order in orders]
    assert sum(each is not None for each in begun) == settings.PARALLEL_OPENINGS


def test_a_cancelling_that_slept_frees_none_of_its_successors_coins(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(uri_set=True)
    first = OpeningFactory(order=order, state=OpeningState.CANCELLING)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    coin = Outpoint(txid("second coin"), 0)
    monkeypatch.setattr(node, "leases", lambda: (Lease(coin, marks.lock_id(order.pk), 0, b"", 5),))

    def frozen(name: str) -> None:
        if name == "disconnect":
            ChannelOpening.objects.filter(pk=first.pk).update(state=OpeningState.FAILED)
            sent = TransactionFactory(inputs=[[str(coin), 5, ""]])
            OpeningFactory(order=order, attempt=2, state=OpeningState.FUNDED, transaction=sent)

    node.on_call = frozen
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    assert order.openings.count() == 2  # it happened
    assert "release" not in node.calls


def test_an_unknown_answer_to_publishing_that_lasts_calls_staff_before_it_is_put_out(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first refusal has stored the same word: that must not keep anybody from being told at the end."""
    order = OrderFactory(opening=True)
    HoldInvoice.objects.update(state=InvoiceState.HELD, settled_at=None)
    row = order.openings.get()
    ChannelOpening.objects.update(state=OpeningState.PUBLISHING, changed_at=timezone.now())
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.pending = [pending(Outpoint(row.transaction.txid, 0), order)]
    node.fails_at["publish"] = OutcomeUnknown("a sentence that no row knows")
    put_out: list[str] = []
    monkeypatch.setattr(conflicting, "begin", lambda order_id, node, *, reason: put_out.append(reason))
    assert not look(order, node).needs_staff  # a lost answer may be only that
    ChannelOpening.objects.update(changed_at=timezone.now() - timedelta(days=1))
    [told] = look(order, node).standing
    assert (told.kind, told.words) == ("publishing_refused", "The node refuses the funding transaction: unknown.")
    assert set(put_out) == {"FAILED_OPENING"}


def test_a_second_reading_of_deposits_that_fails_hides_no_payment_and_is_put_off(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_read_again_by", set())
    monkeypatch.setattr(watching, "_failed_at", {})
    order = OrderFactory(created_height=100, due_at=timezone.now() + timedelta(minutes=9))
    node.height = 3000
    Node.objects.update(deposits_height=2999)
    read, far_back = node.transactions, []

    def slow_when_far(*, from_height: int) -> Any:
        if from_height < 2900:
            far_back.append(from_height)
            raise NodeUnavailable("deadline exceeded")
        return read(from_height=from_height)

    monkeypatch.setattr(node, "transactions", slow_when_far)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)  # paid, and no stream has told
    assert reconcile.look(node) == 1  # type: ignore[arg-type]
    assert queries.due_ids(timezone.now()) == [order.pk]
    reconcile.look(node)  # type: ignore[arg-type]
    assert len(far_back) == 1
    watching._failed_at.update({os.getpid(): timezone.now() - timedelta(hours=1)})
    reconcile.look(node)  # type: ignore[arg-type]
    assert len(far_back) == 2


def test_a_reading_of_deposits_that_fails_hides_no_other_payment(node: ScriptedNode) -> None:
    order = OrderFactory(due_at=timezone.now() + timedelta(minutes=9))
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.fails_at["transactions"] = NodeUnavailable("deadline exceeded")
    with pytest.raises(NodeUnavailable):  # and it is said
        reconcile.look(node)  # type: ignore[arg-type]
    assert queries.due_ids(timezone.now()) == [order.pk]


def deposit(order: Any, name: str, amount_sat: int, **more: Any) -> None:
    recording.record([mined(txid(name), outputs=[TxOutput(0, order.deposit_address, amount_sat, True)], **more)])


def told(order: Any) -> list[str]:
    return [flag.words for flag in queries.order_or_raise(order.pk).standing]


@pytest.mark.parametrize("divisor", [3, 1])
def test_what_comes_after_the_money_was_returned_by_hand_is_told_in_full(node: ScriptedNode, divisor: int) -> None:
    order = OrderFactory(expired=True, invoice__state=InvoiceState.CANCELLED)
    amount = order.order_total_sat // divisor
    deposit(order, "first", amount)
    ending.record_returned(order.pk, actor=actors.staff("ada"))
    deposit(order, "first", amount, confirmations=0, height=0)  # what went back is no news, wherever it is
    deposit(order, "first", amount)
    assert not Flag.objects.filter(order=order, kind=FlagKind.PAID_LATE, lowered_at=None).exists()
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    deposit(order, "second", amount)
    assert told(order) == [f"{amount} sat arrived on chain after the order's money had been returned."]
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    deposit(order, "third", 700)
    assert told(order) == [f"{amount + 700} sat arrived on chain after the order's money had been returned."]


def test_what_comes_on_chain_after_a_lightning_payment_was_returned_is_told_in_full(node: ScriptedNode) -> None:
    order = OrderFactory(refunded=True)
    deposit(order, "first", 5_000)
    assert told(order) == ["Paid by Lightning, and 5000 sat arrived on chain besides."]


def test_a_claim_that_is_taken_back_at_the_deadline_is_no_defect(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, open_deadline_at=timezone.now() - timedelta(seconds=1))
    node.by_hash[order.hold_invoice.payment_hash] = held(order)

    def meanwhile(name: str) -> None:
        if name == "transactions":
            node.on_call = lambda name: None
            claiming.unclaim(order.pk, actor=actors.buyer(order.pk, keys.order_token(order.pk)))

    node.on_call = meanwhile
    order = look(order, node)
    assert (order.state, order.standing) == (OrderState.PAID, [])


def test_a_new_claim_does_not_pay_for_the_trouble_of_the_old_one(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    connected: list[str] = []

    def meanwhile(name: str) -> None:
        if name != "connect":
            return
        connected.append(name)
        if len(connected) == 1:
            new = NodeAddress(pubkey(7), "198.51.100.7:9735")
            claiming.claim(order.pk, new, announced=None, actor=actors.buyer(order.pk, keys.order_token(order.pk)))
            raise OutcomeUnknown("trouble of our own")
        raise PeerOffline("not there", reason="PEER_NOT_REACHABLE")

    node.on_call = meanwhile
    order = look(order, node)
    assert (order.node_pubkey, len(connected)) == (pubkey(7), 2)  # the new one was tried in the same look
    assert (order.last_failure_reason, order.failed_openings) == ("PEER_NOT_REACHABLE", 1)


def test_a_peer_is_connected_again_where_our_node_had_it(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(uri_set=True, node_host="203.0.113.66:1")
    OpeningFactory(order=order, state=OpeningState.FUNDED)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    again: list[tuple[str, bool]] = []
    monkeypatch.setattr(node, "connect", lambda at, *, timeout_seconds, was_there: again.append((at.host, was_there)))
    monkeypatch.setattr(node, "peers", lambda: (Peer(order.node_pubkey, "192.168.1.7:9735", inbound=False),))
    cancelling.cancel(order.pk, node, reason="CHANNEL_REJECTED")  # type: ignore[arg-type]
    assert again == [("192.168.1.7:9735", True)]


def test_a_peer_that_came_by_itself_is_connected_by_the_buyers_word_under_the_rule_for_strangers(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(uri_set=True, node_host="192.168.1.7:9735")
    OpeningFactory(order=order, state=OpeningState.FUNDED)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    again: list[tuple[str, bool]] = []
    monkeypatch.setattr(node, "connect", lambda at, *, timeout_seconds, was_there: again.append((at.host, was_there)))
    monkeypatch.setattr(node, "peers", lambda: (Peer(order.node_pubkey, "192.168.1.7:50123", inbound=True),))
    cancelling.cancel(order.pk, node, reason="CHANNEL_REJECTED")  # type: ignore[arg-type]
    assert again == [("192.168.1.7:9735", False)]
