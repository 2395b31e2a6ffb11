"""Payments that channel events name before they are held: nobody subscribes to an invoice before somebody pays it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from lightning.types import ChannelEvent, Invoice, NodeInvoiceState, Outpoint, PartsOnTheWay
from orders.models import ChannelOrder, HoldInvoice
from orders.nudges import NEW, notify
from orders.states import InvoiceState
from streams import hints, standby
from streams import invoices as followed
from streams.hands import Hands
from streams.invoices import Invoices, Named, Trust
from streams.node import NodeStreams
from tests.factories import OrderFactory
from tests.regtest.waiting import until
from tests.streams.conftest import FakeLnd, Looks, Running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "_COMPARE_SECONDS", 0.2)
    monkeypatch.setattr(followed, "_NEW", timedelta(0))
    monkeypatch.setattr(followed, "_EVENT_LATE", timedelta(0))
    monkeypatch.setattr(standby, "_PING_SECONDS", 0.2)


def invoices(streams: Running) -> Invoices:
    found = streams.process._node.invoices
    assert found is not None
    return found


def hash_of(order: ChannelOrder) -> str:
    return HoldInvoice.objects.get(order=order).payment_hash


def bought() -> Any:
    order = OrderFactory.create()
    notify(order.pk, NEW)
    return order


def name(lnd: FakeLnd, *orders: ChannelOrder) -> None:
    lnd.put("channel_events", PartsOnTheWay(frozenset(map(hash_of, orders))))


def hold(order: ChannelOrder) -> None:
    HoldInvoice.objects.filter(order=order).update(state=InvoiceState.HELD, held_at=timezone.now())


def until_subscribed(lnd: FakeLnd, order: ChannelOrder) -> None:
    until(lambda: lnd.is_asked_for(hash_of(order)), "the invoice is subscribed to", timeout=20)


@pytest.fixture
def proven(streams: Running, lnd: FakeLnd) -> Iterator[Running]:
    """Its node's events have named a payment that was held."""
    until(lambda: streams.process._node.is_up, "the node is listened to")
    first = bought()
    until_subscribed(lnd, first)  # as long as nothing is known of the events
    name(lnd, first)
    until(lambda: hash_of(first) in invoices(streams)._ours, "the event is heard")
    hold(first)
    until(lambda: invoices(streams).trust is Trust.PROVEN, "the events are relied on")
    return streams


def test_a_named_payment_that_is_held_is_proof_at_once(
    streams: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the next minute only: until then each quote would have a subscription of its own."""
    monkeypatch.setattr(Invoices, "_judge", _judging_nothing)
    until(lambda: streams.process._node.is_up, "the node is listened to")
    first, second = bought(), bought()
    for order in (first, second):
        until_subscribed(lnd, order)
    lnd.put(hash_of(first), Invoice(hash_of(first), "lnbcrt", "", 1000, NodeInvoiceState.ACCEPTED, 1))
    name(lnd, second)
    until(lambda: hash_of(second) in invoices(streams)._ours, "the event is heard")
    assert invoices(streams).trust is Trust.UNKNOWN  # nobody has named the first
    lnd.put(hash_of(second), Invoice(hash_of(second), "lnbcrt", "", 1000, NodeInvoiceState.ACCEPTED, 1))
    until(lambda: invoices(streams).trust is Trust.PROVEN, "the events are relied on")


async def _judging_nothing(_: Invoices) -> None:
    return None


def test_who_has_not_paid_costs_no_subscription(proven: Running, lnd: FakeLnd) -> None:
    unpaid, paying = bought(), bought()
    name(lnd, paying)
    until_subscribed(lnd, paying)
    assert not lnd.is_asked_for(hash_of(unpaid))
    until(lambda: len(invoices(proven)) == 1, "the first, which is held, is not subscribed to any more")


def test_of_new_orders_nobody_is_woken_for_whom_events_do(
    proven: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[UUID] = []
    monkeypatch.setattr(proven.process._node, "begin", begun.append)
    until(lambda: bought().pk not in _heard(begun), "new orders are not heard of any more", timeout=20)
    invoices(proven).trust = Trust.MISSING
    until(lambda: bought().pk in _heard(begun), "they are again", timeout=20)


def _heard(begun: list[UUID]) -> list[UUID]:
    """With what was on its way a moment ago."""
    time.sleep(0.3)
    return begun


def test_a_payment_that_is_named_brings_a_look_when_it_is_held(proven: Running, lnd: FakeLnd, looks: Looks) -> None:
    order = bought()
    name(lnd, order)
    until_subscribed(lnd, order)
    lnd.put(hash_of(order), Invoice(hash_of(order), "lnbcrt", "", 1000, NodeInvoiceState.ACCEPTED, 1))
    looks.wait(order)


@pytest.fixture
def slow(lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What becomes of channels takes until this is set."""
    done = threading.Event()
    monkeypatch.setattr("streams.hints.channel_changed", lambda event: done.wait(30))
    yield done
    done.set()


def test_a_payment_is_named_while_changes_of_channels_are_followed(
    proven: Running, lnd: FakeLnd, slow: threading.Event
) -> None:
    """Each of those asks the database, and there are thousands at once when our line to the world was away."""
    order = bought()
    lnd.put("channel_events", ChannelEvent("active_channel", Outpoint("ab" * 32, 0)))
    name(lnd, order)
    until_subscribed(lnd, order)
    assert not slow.is_set()


def test_control_who_follows_each_change_first_hears_of_the_payment_when_that_has_ended(
    proven: Running, lnd: FakeLnd, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = NodeStreams._channel

    async def one_by_one(self: NodeStreams, event: Any, changes: Any) -> None:
        if isinstance(event, PartsOnTheWay):
            await channel(self, event, changes)
        else:
            await self._hands.follow(hints.channel_changed, event)

    monkeypatch.setattr(NodeStreams, "_channel", one_by_one)
    order = bought()
    lnd.put("channel_events", ChannelEvent("active_channel", Outpoint("ab" * 32, 0)))
    name(lnd, order)
    time.sleep(1)
    assert not lnd.is_asked_for(hash_of(order))
    slow.set()
    until_subscribed(lnd, order)


def test_a_part_that_comes_long_before_the_next_stays_subscribed_to(proven: Running, lnd: FakeLnd) -> None:
    order = bought()
    name(lnd, order)
    until_subscribed(lnd, order)
    compared = threading.Event()
    with patch("orders.queries.unpaid_invoices", side_effect=_noting(compared)):
        assert compared.wait(20)
    assert lnd.is_asked_for(hash_of(order)) and lnd.story.count(hash_of(order)) == 1


def _noting(done: threading.Event, times: int = 3) -> Any:
    """As the query, and says when it was made so often."""
    from orders import queries

    query, made = queries.unpaid_invoices, []

    def ask(**among: Any) -> list[tuple[UUID, str]]:
        made.append(among)
        if len(made) == times:
            done.set()
        return query(**among)

    return ask


def test_what_was_sold_before_the_node_was_listened_to_stays_subscribed_to(
    start: Any, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of it may be on its way already, of which no event will tell."""
    old = OrderFactory.create(created_at=timezone.now() - timedelta(minutes=5))
    streams = start()
    until_subscribed(lnd, old)
    until(lambda: streams.process._node.is_up, "the node is listened to")
    first, unpaid = bought(), bought()
    name(lnd, first)
    until(lambda: hash_of(first) in invoices(streams)._ours, "the event is heard")
    hold(first)
    until(lambda: not lnd.is_asked_for(hash_of(unpaid)), "the events are relied on", timeout=20)
    assert lnd.is_asked_for(hash_of(old))


def test_a_payment_that_no_event_has_named_brings_all_subscriptions_back(proven: Running, lnd: FakeLnd) -> None:
    unpaid, paid = bought(), bought()
    hold(paid)  # the minute's reconcile has found it
    until_subscribed(lnd, unpaid)
    assert invoices(proven).trust is Trust.MISSING
    until_subscribed(lnd, bought())
    assert proven.process._details()["streams"].endswith("events=missing")


def test_events_are_not_relied_on_before_they_have_named_a_payment(streams: Running, lnd: FakeLnd) -> None:
    until(lambda: streams.process._node.is_up, "the node is listened to")
    unpaid, paid = bought(), bought()
    hold(paid)
    until(lambda: invoices(streams).trust is Trust.MISSING, "the payment is judged")
    until_subscribed(lnd, unpaid)


def test_a_stranger_s_payment_is_looked_up_once(proven: Running, lnd: FakeLnd) -> None:
    asked: list[Any] = []
    theirs = "ab" * 32
    order = bought()
    with patch("orders.queries.unpaid_invoices", side_effect=lambda **among: asked.append(among) or []):
        lnd.put("channel_events", PartsOnTheWay(frozenset({theirs})))
        until(lambda: any(theirs in among["hashes"] for among in asked), "it is looked up")
        lnd.put("channel_events", PartsOnTheWay(frozenset({theirs})))
        name(lnd, order)
        until(lambda: any(hash_of(order) in among["hashes"] for among in asked), "the next is looked up")
    assert sum(theirs in among["hashes"] for among in asked) == 1


def test_what_is_named_while_all_are_compared_keeps_its_subscription(lnd: FakeLnd) -> None:
    """Were it ended, its payment would be heard of in a minute."""
    order_id, payment_hash = uuid4(), "cd" * 32

    async def compared() -> bool:
        found = Invoices(Hands(), lnd, lambda order_id: None)  # type: ignore[arg-type]
        found._follow([(order_id, payment_hash)])
        reading = threading.Event()
        with (
            patch("orders.queries.unpaid_invoices", return_value=[(order_id, payment_hash)]),
            patch("orders.queries.open_invoices", side_effect=lambda: reading.wait(30) and []),
        ):
            comparing = asyncio.create_task(found._compare())
            await asyncio.sleep(0)
            found.named({payment_hash})
            await found._look_up({payment_hash})
            reading.set()
            await comparing
        return not found._followed[order_id].cancelling()

    assert asyncio.run(compared())


def test_what_is_being_looked_up_when_it_is_time_to_compare_is_looked_up_again(lnd: FakeLnd) -> None:
    async def looked_up() -> bool:
        found = Invoices(Hands(), lnd, lambda order_id: None)  # type: ignore[arg-type]
        order_id, payment_hash, slow = uuid4(), "ef" * 32, threading.Event()
        answers = [lambda: slow.wait(30), lambda: True]

        def ask(**_: Any) -> list[tuple[UUID, str]]:
            answers.pop(0)()
            return [(order_id, payment_hash)]

        with patch("orders.queries.unpaid_invoices", ask):
            found.named({payment_hash})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await found._take_new()
            slow.set()
            async with asyncio.timeout(10):
                await found._take_new()
        return order_id in found._followed

    assert asyncio.run(looked_up())


def test_only_the_latest_names_are_kept() -> None:
    named = Named(most=2)
    assert named.add({"a"}) == {"a"}
    named.are_strangers({"a"})
    assert named.add({"a"}) == set()
    named.add({"b"})
    named.add({"c"})
    assert "a" not in named and "b" in named and "c" in named
