"""Looking at the node costs it something: what is refused or waits does not look again and again."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.types import Outpoint
from orders import actors, marks, queries
from orders.advance import advance
from orders.errors import NotAvailable
from orders.models import ChannelOrder, NodeSnapshot, OrderEvent, SwitchName, TransactionKind
from orders.operations import pausing, snapshot
from orders.states import OpeningState, OrderState
from tests.concurrency.test_races import at_once
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey, txid
from tests.fakes import FakeNode
from tests.integration.conftest import Api
from tests.scripted import ScriptedNode, channel, held, unmined

#: What one look at the node asks it.
LOOK = ["info", "fee_rates", "coins", "required_reserve_sat"]
#: What only a look for an order's traces lists.
LISTS = {"channels", "channels_with", "pending_channels", "closed_channels", "transactions"}


def sold_out(node: FakeNode) -> None:
    node.spendable_sat = 500_000
    NodeSnapshot.objects.update(spendable_sat=500_000, at=timezone.now() - timedelta(seconds=20))


def test_found_c6_ten_refusals_look_at_the_node_once(api: Api, node: FakeNode) -> None:
    sold_out(node)
    assert [api.buy().status_code for _ in range(10)] == [503] * 10
    assert node.calls == LOOK


def test_coins_that_have_come_since_the_last_look_are_sold(api: Api, node: FakeNode) -> None:
    sold_out(node)
    node.spendable_sat = 100_000_000
    assert api.buy().status_code == 200


@pytest.mark.django_db(transaction=True)
def test_found_c6_a_stale_look_is_made_anew_by_one_for_all_who_ask(node: FakeNode) -> None:
    SnapshotFactory(at=timezone.now() - timedelta(hours=1))
    asked = threading.Event()

    def slow(name: str) -> None:
        asked.set()
        threading.Event().wait(0.1)

    node.on_call = slow
    seen = at_once(*[lambda: snapshot.fresh_snapshot(node)] * 6)  # type: ignore[arg-type]
    assert asked.is_set() and node.calls == LOOK
    assert len({each.at for each in seen}) == 1


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_the_look_of_one_who_hangs_is_told_soon(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    SnapshotFactory(at=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(snapshot, "_MOST_WAITS", 3)
    over = threading.Event()
    node.on_call = lambda name: over.wait(20) and None

    def release() -> None:
        threading.Event().wait(1)
        over.set()

    calls = [lambda: snapshot.fresh_snapshot(node)] * 3  # type: ignore[arg-type]
    results = at_once(*calls, release)
    assert sum(isinstance(each, NotAvailable) for each in results) == 2
    assert node.calls == LOOK


# Orders that wait for others


@pytest.fixture
def scripted(transactional_db: None) -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


@pytest.fixture
def busy(scripted: ScriptedNode, settings: Any) -> None:
    """As many openings are under way as may be."""
    settings.PARALLEL_OPENINGS = 1
    other = OrderFactory(uri_set=True, node_pubkey=pubkey(9), due_at=None)
    OpeningFactory(order=other, node_pubkey=pubkey(9), state=OpeningState.NEGOTIATING, transaction=None)


def waiting(node: ScriptedNode, **changes: Any) -> ChannelOrder:
    order = OrderFactory(uri_set=True, due_at=timezone.now(), **changes)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    return order


def look(order: ChannelOrder, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    node.calls.clear()
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def left_a_channel(order: ChannelOrder, node: ScriptedNode) -> None:
    """By an attempt that our records have lost."""
    outpoint = Outpoint(txid("lost"), 0)
    node.open = [channel(outpoint, order)]
    node.wallet[outpoint.txid] = unmined(outpoint.txid, label=marks.label(TransactionKind.FUNDING, order.pk))


def was_adopted(order: ChannelOrder) -> bool:
    return OrderEvent.objects.filter(order=order, cause="opening_adopted").exists()


def test_found_c6_an_order_that_waits_for_others_lists_nothing(scripted: ScriptedNode, busy: None) -> None:
    order = waiting(scripted)
    assert look(order, scripted).last_failure_reason == "LSP_BUSY"
    assert set(scripted.calls) & LISTS  # when the waiting begins
    for _ in range(3):
        assert look(order, scripted).state == OrderState.URI_SET
        assert not set(scripted.calls) & LISTS


def test_found_c6_a_lost_channel_is_adopted_although_others_are_being_opened(
    scripted: ScriptedNode, busy: None
) -> None:
    order = waiting(scripted)
    left_a_channel(order, scripted)
    assert was_adopted(look(order, scripted))


def test_found_c6_a_lost_channel_is_adopted_at_the_end_of_a_waiting_in_which_nobody_looked(
    scripted: ScriptedNode, busy: None
) -> None:
    order = waiting(scripted, last_failure_reason="LSP_BUSY", open_deadline_at=timezone.now() - timedelta(seconds=1))
    left_a_channel(order, scripted)
    assert was_adopted(look(order, scripted))


def test_found_c6_a_lost_channel_is_adopted_while_staff_have_paused_the_openings(scripted: ScriptedNode) -> None:
    """As after a database was put back: then both are."""
    order = waiting(scripted)
    pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("ada"))
    assert look(order, scripted).last_failure_reason == "OPENINGS_PAUSED"
    left_a_channel(order, scripted)
    assert was_adopted(look(order, scripted))


def test_an_order_that_has_waited_for_others_to_the_end_gives_up(scripted: ScriptedNode, busy: None) -> None:
    order = waiting(scripted, last_failure_reason="LSP_BUSY", open_deadline_at=timezone.now() - timedelta(seconds=1))
    assert look(order, scripted).give_up_reason == "LSP_BUSY"


def test_a_node_that_fails_while_looked_at_for_all_leaves_nobody_waiting(api: Api, node: FakeNode) -> None:
    sold_out(node)
    node.fails = NodeUnavailable("connection refused")
    assert api.buy().status_code == 503
    node.fails = None
    node.spendable_sat = 100_000_000
    assert api.buy().status_code == 200
