"""Rows that an older version left where nobody came back to them: a minute's pass, and a look, bring them to an end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from orders import queries, reconcile
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder, Heartbeat
from orders.operations import closing, shutdown
from orders.states import ClosingState, InvoiceState, OpeningState, OrderState
from orders.transitions import locked
from tests.closing import ADA, HEIGHT, ClosingNode, journal, look, sold
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.scripted import held

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    node = ClosingNode()
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    return node


def left(node: ClosingNode, state: ClosingState, then: OrderState) -> ChannelOrder:
    """A close of a channel that was put out, which stands though its order has gone on without it."""
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    ChannelClosing.objects.update(state=state, asked_at=timezone.now(), tries=1)
    order.openings.update(state=OpeningState.FAILED)
    node.open.clear()
    ChannelOrder.objects.update(state=then, due_at=None)
    return order


@pytest.mark.parametrize("state", [ClosingState.WAITING, ClosingState.UNDER_WAY])
@pytest.mark.parametrize("then", [OrderState.GIVE_UP, OrderState.REFUNDED, OrderState.CLOSED, OrderState.OPEN])
def test_a_close_whose_attempt_came_to_nothing_is_withdrawn_by_the_next_pass(
    node: ClosingNode, state: ClosingState, then: OrderState
) -> None:
    order = left(node, state, then)
    reconcile.reconcile()
    row = ChannelClosing.objects.get()
    assert (row.state, row.detail) == (ClosingState.WITHDRAWN, "There never was a channel.")
    assert row.ended_at is not None and journal(order)[-1] == "close_withdrawn" and not node.asked
    reconcile.reconcile()
    assert journal(order).count("close_withdrawn") == 1


def test_a_close_of_a_channel_that_stands_is_left_alone_and_its_order_is_not_locked(
    node: ClosingNode, django_assert_num_queries: Any
) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    OpeningFactory(order=order, failed=True)
    with django_assert_num_queries(1):
        shutdown.end_undone()
    assert ChannelClosing.objects.get().state == ClosingState.WAITING


def test_a_close_that_is_wanted_of_the_next_channel_meanwhile_is_left_alone(
    node: ClosingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = left(node, ClosingState.WAITING, OrderState.OPEN)

    def meanwhile(order_id: UUID) -> Any:
        ChannelClosing.objects.update(opening=OpeningFactory(order=order, confirmed=True))
        return locked(order_id)

    monkeypatch.setattr(shutdown, "locked", meanwhile)
    shutdown.end_undone()
    assert ChannelClosing.objects.get().state == ClosingState.WAITING


def attempt_of(order: ChannelOrder, state: str) -> ChannelOpening:
    nothing_drafted = {"transaction": None, "output_index": None} if state == "negotiating" else {}
    given = {"state": state, "node_pubkey": pubkey(7), "zero_conf": state == "committed", **nothing_drafted}
    row: ChannelOpening = OpeningFactory(order=order, **given)
    return row


@pytest.mark.parametrize("trait", ["give_up", "refunded", "rejected", "expired", "paid_lightning"])
@pytest.mark.parametrize("attempt", ["negotiating", "funded", "cancelling"])
def test_an_attempt_that_outlived_its_order_is_ended_and_frees_coins_and_peer(
    node: ClosingNode, trait: str, attempt: str
) -> None:
    order = OrderFactory(**{trait: True}, attempts=False, due_at=None)
    if order.hold_invoice.state == InvoiceState.HELD:
        node.by_hash[order.hold_invoice.payment_hash] = held(order)
    row = attempt_of(order, attempt)
    assert queries.peer_is_taken(row.node_pubkey)
    assert order.pk in reconcile._forgotten()
    look(order, node)
    row.refresh_from_db()
    assert row.state == OpeningState.FAILED and not queries.peer_is_taken(row.node_pubkey)
    assert "cancel_shim" in node.calls
    assert queries.order_or_raise(order.pk).state == order.state


@pytest.mark.parametrize("attempt", ["committed", "publishing", "published"])
def test_what_was_signed_for_an_order_that_is_over_is_for_a_person(node: ClosingNode, attempt: str) -> None:
    order = OrderFactory(refunded=True, attempts=False, due_at=None)
    row = attempt_of(order, attempt)
    for _ in range(2):
        look(order, node)
    row.refresh_from_db()
    assert row.state == attempt and not node.published
    assert [flag.kind for flag in queries.order_or_raise(order.pk).standing] == ["attempt_stuck"]


@pytest.mark.parametrize("trait", ["opening", "closed"])
def test_an_attempt_that_nobody_looks_at_is_looked_at_again(node: ClosingNode, trait: str) -> None:
    order = OrderFactory(**{trait: True})
    ChannelOpening.objects.update(state=OpeningState.PUBLISHED)
    ChannelOrder.objects.update(due_at=None)
    assert reconcile._forgotten() == [order.pk]
    ChannelOrder.objects.update(due_at=timezone.now())
    assert reconcile._forgotten() == []


def test_what_cannot_be_withdrawn_silences_nobody(node: ClosingNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shutdown, "end_undone", fail)
    with pytest.raises(ZeroDivisionError):
        reconcile.reconcile()
    assert Heartbeat.objects.filter(name="reconcile").exists()
