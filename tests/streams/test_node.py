"""What the node's subscriptions lead to, and what happens when the node goes and comes back."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from lightning.errors import NodeUnavailable
from lightning.types import ChainTransaction, Invoice, NodeInvoiceState, PeerEvent
from orders.models import HoldInvoice
from orders.nudges import NEW, notify, nudge_all
from streams.connected import Connected
from streams.hands import Hands
from streams.invoices import Invoices
from streams.node import NodeStreams
from tests.factories import OrderFactory, pubkey
from tests.regtest.waiting import until
from tests.streams.conftest import FakeLnd, Looks, Running


def invoice(payment_hash: str, state: NodeInvoiceState) -> Invoice:
    return Invoice(payment_hash, "lnbcrt", "", 1000, state, 1)


def test_the_node_is_looked_at_only_after_everything_was_subscribed(streams: Running, lnd: FakeLnd) -> None:
    before = lnd.story[: lnd.story.index("look")]
    assert set(before) >= {"transactions", "channel_events", "peer_events", "blocks"}


def test_a_macaroon_that_may_not_hear_of_transactions_ends_no_other_subscription(
    streams: Running, lnd: FakeLnd
) -> None:
    """Deposits are slower then. Were the session to end, every order would be."""
    until(lambda: lnd.is_asked_for("transactions"), "transactions are subscribed")
    looked = lnd.story.count("look")
    lnd.put("transactions", NodeUnavailable("permission denied", reason="PERMISSION_DENIED"))
    until(lambda: not lnd.is_asked_for("transactions"), "the subscription has ended")
    lnd.put("blocks", 801)
    until(lambda: lnd.story.count("look") > looked, "a block is looked at")
    assert "closed" not in lnd.story


def test_a_payment_brings_a_look_although_nobody_nudged(streams: Running, lnd: FakeLnd, looks: Looks) -> None:
    order = OrderFactory.create()
    notify(order.pk, NEW)  # as buying does
    payment_hash = HoldInvoice.objects.get(order=order).payment_hash
    # Sooner than all are compared, which would find it too.
    until(lambda: lnd.is_asked_for(payment_hash), "the new order's invoice is followed", timeout=20)
    lnd.put(payment_hash, invoice(payment_hash, NodeInvoiceState.ACCEPTED))
    looks.wait(order)


def test_a_new_order_is_followed_without_a_question_to_the_database(
    streams: Running, lnd: FakeLnd, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("orders.queries.open_invoices", lambda *among: asked.append(among) or [])
    monkeypatch.setattr("streams.hints.invoice_changed", lambda *said: asked.append(said))
    order = OrderFactory.create()
    payment_hash = HoldInvoice.objects.get(order=order).payment_hash
    notify(order.pk, NEW)
    until(lambda: lnd.is_asked_for(payment_hash), "the new order's invoice is followed", timeout=20)
    lnd.put(payment_hash, invoice(payment_hash, NodeInvoiceState.OPEN))  # as each begins
    lnd.put(payment_hash, invoice(payment_hash, NodeInvoiceState.ACCEPTED))
    until(lambda: asked, "its payment is heard of")
    assert asked == [(order.pk, NodeInvoiceState.ACCEPTED)]


def test_an_order_that_is_made_while_all_are_compared_stays_followed(lnd: FakeLnd) -> None:
    """Its row is not among those that were read just before; it would be followed again in a minute only."""
    order_id = uuid4()

    async def compared() -> bool:
        invoices = Invoices(Hands(), lnd, lambda order_id: None)  # type: ignore[arg-type]
        begun = threading.Event()

        def read() -> list[Any]:
            begun.wait(30)
            return []

        with patch("orders.queries.open_invoices", read):
            comparing = asyncio.create_task(invoices._compare())
            await asyncio.sleep(0)
            invoices.begin(order_id)
            begun.set()
            await comparing
            await asyncio.sleep(0)
            is_followed = not invoices._followed[order_id].cancelling()
            await invoices._compare()  # and goes where it has no invoice after all
            return is_followed and bool(invoices._followed[order_id].cancelling())

    assert asyncio.run(compared())


def test_what_is_held_has_no_subscription(start: Any, lnd: FakeLnd) -> None:
    """Whatever becomes of it otherwise than by us, the minute's comparison finds: thousands may wait to be claimed."""
    held, unpaid = OrderFactory.create(uri_set=True), OrderFactory.create()
    start()
    until(lambda: lnd.is_asked_for(unpaid.hold_invoice.payment_hash), "the unpaid order's invoice is followed")
    assert not lnd.is_asked_for(held.hold_invoice.payment_hash)


def test_an_invoice_that_ended_is_not_followed_anew_at_each_nudge(streams: Running, lnd: FakeLnd, looks: Looks) -> None:
    order = OrderFactory.create()
    payment_hash = HoldInvoice.objects.get(order=order).payment_hash
    notify(order.pk)
    until(lambda: lnd.is_asked_for(payment_hash), "the invoice is followed")
    lnd.put(payment_hash, invoice(payment_hash, NodeInvoiceState.CANCELED))
    lnd.put(payment_hash, None)
    looks.wait(order)
    until(lambda: not lnd.is_asked_for(payment_hash), "the subscription has ended")
    nudge_all([order.pk])
    looks.wait(order, times=2)
    another = OrderFactory.create()
    notify(another.pk)
    until(lambda: lnd.is_asked_for(another.hold_invoice.payment_hash), "a later order's invoice is followed")
    assert lnd.story.count(payment_hash) == 1


def test_blocks_that_come_during_a_look_bring_one_more_look(
    streams: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    looked: list[str] = []

    def slow_look(node: object) -> None:
        looked.append("begun")
        at_work.set()
        go_on.wait(20)
        looked.append("ended")

    monkeypatch.setattr("orders.reconcile.new_block", slow_look)
    lnd.put("blocks", 801)
    assert at_work.wait(20)
    for height in range(802, 810):
        lnd.put("blocks", height)
    until(lambda: _blocks_are_read(lnd), "the blocks were read")
    go_on.set()
    until(lambda: len(looked) >= 4, "one more look")
    streams.stop()
    assert looked == ["begun", "ended"] * 2


def _blocks_are_read(lnd: FakeLnd) -> bool:
    return all(queue.empty() for _, queue in lnd._queues["blocks"])


def test_a_transaction_is_recorded_and_one_that_cannot_be_breaks_nothing(
    streams: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []

    def record(transactions: list[ChainTransaction]) -> None:
        recorded.append(transactions[0].txid)
        if len(recorded) == 1:
            raise RuntimeError("a defect")

    monkeypatch.setattr("orders.payments.onchain.recording.record", record)
    for txid in ("aa", "bb"):
        lnd.put("transactions", ChainTransaction(txid * 32, 0, 0, 0, "", b"", (), ()))
    until(lambda: len(recorded) == 2, "both were tried")
    assert lnd.story.count("transactions") == 1


def test_a_node_that_goes_is_said_once_and_looked_at_when_it_is_back(
    streams: Running, lnd: FakeLnd, caplog: pytest.LogCaptureFixture
) -> None:
    until(lambda: streams.process._node.is_up, "the node is listened to")
    lnd.break_down()
    until(lambda: lnd.story.count("closed") >= 2, "it was tried again", timeout=30)
    assert not streams.process._node.is_up
    looked = lnd.story.count("look")
    lnd.is_up = True
    until(lambda: lnd.story.count("look") > looked, "it was looked at again", timeout=30)
    assert sum("cannot be used" in message for message in caplog.messages) == 1


def test_a_subscription_that_simply_ends_is_made_anew(streams: Running, lnd: FakeLnd) -> None:
    lnd.put("peer_events", None)
    until(lambda: lnd.story.count("peer_events") == 2, "subscribed anew", timeout=30)


@pytest.mark.parametrize("steps", range(6))
def test_listening_ends_when_it_is_cancelled_while_the_node_goes(
    transactional_db: None, lnd: FakeLnd, steps: int
) -> None:
    async def main() -> bool:
        hands = Hands()
        connected = Connected()
        listening = asyncio.create_task(
            NodeStreams(hands, connected, news=lambda order_id: None, block_came=lambda height: None).run()
        )
        while "look" not in lnd.story:
            await asyncio.sleep(0.01)
        for _, queue in lnd._queues["peer_events"]:
            queue.put_nowait(NodeUnavailable("gone"))
        for _ in range(steps):
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait({listening}, timeout=10)
        ended = listening.done()
        listening.cancel()
        return await hands.close(10) and await connected.close(10) and ended

    ended = asyncio.run(main())
    gc.collect()  # the threads' connections to the database
    assert ended


def test_who_is_there_by_the_events_is_so_until_they_say_otherwise_or_are_heard_no_more(
    streams: Running, lnd: FakeLnd
) -> None:
    """Whoever opens a channel to such a peer does not list the node's peers first."""
    lanes = streams.process._lanes
    until(lambda: lnd.is_asked_for("peer_events"), "peers are subscribed")
    assert not lanes.is_there(pubkey(1))
    for online in (True, False, True):
        lnd.put("peer_events", PeerEvent(pubkey(1), online=online))
        until(lambda online=online: lanes.is_there(pubkey(1)) is online, "the event was heard")
    lnd.break_down()
    until(lambda: not lanes.is_there(pubkey(1)), "nobody counts as there while nothing is heard")
