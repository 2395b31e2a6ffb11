"""Whose node was reached keeps his place when a process of ours dies in his attempt; who fell silent does not."""

from __future__ import annotations

import pytest
from django.utils import timezone

from orders import queries
from orders.advance import advance
from orders.models import ChannelOrder, Reservation
from orders.states import Firmness
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory
from tests.scripted import ScriptedNode, held

pytestmark = pytest.mark.django_db(transaction=True)


def found(state: str, **left: str) -> ChannelOrder:
    """An attempt that nobody is at any more, looked at."""
    SnapshotFactory()
    node = ScriptedNode()
    order = OrderFactory(uri_set=True)
    without = {"transaction": None, "output_index": None} if state == "negotiating" else {}
    OpeningFactory(order=order, state=state, **without, **left)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


@pytest.mark.parametrize("state", ["negotiating", "funded"])
def test_our_own_death_costs_the_order_no_place(state: str) -> None:
    order = found(state)
    assert [row.state for row in order.openings.all()] == ["failed"]
    assert order.last_failure_reason == "NODE_NOT_READY"
    assert Reservation.objects.get().firmness == Firmness.REACHED
    assert order.due_at is not None and order.due_at > timezone.now()


@pytest.mark.parametrize("state", ["negotiating", "funded"])
def test_control_a_node_that_fell_silent_has_left_that_word_and_loses_it(state: str) -> None:
    order = found(state, failure_reason="FAILED_OPENING", failure_detail="No answer in time.")
    assert order.last_failure_reason == "FAILED_OPENING"
    assert Reservation.objects.get().firmness == Firmness.HELD
