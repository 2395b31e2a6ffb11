"""Whose node was reached has his place from when his attempt begins.

He keeps it when a process of ours dies in the attempt; whose node fell silent does not.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from django.utils import timezone

from orders import queries
from orders.admission import placing
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


class Short(NamedTuple):
    """Coins for one of them: who named his node and waits for a place, and who has a place and named none."""

    named: ChannelOrder
    weak: Reservation


def short_of_coins() -> Short:
    SnapshotFactory(spendable_sat=1_500_000)
    node = ScriptedNode()
    weak, named = OrderFactory(paid_lightning=True), OrderFactory(uri_set=True)
    Reservation.objects.filter(order=named.pk).update(firmness=Firmness.WAITING)
    node.by_hash[named.hold_invoice.payment_hash] = held(named)
    advance(named.pk, node=node)  # type: ignore[arg-type]
    assert node.connected
    return Short(queries.order_or_raise(named.pk), Reservation.objects.get(order=weak.pk))


def test_whose_node_is_reached_begins_and_who_named_none_gives_way() -> None:
    short = short_of_coins()
    assert (short.named.openings.count(), short.weak.is_going) == (1, True)


def test_control_who_does_not_ask_for_his_coins_when_his_node_is_reached_begins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placing, "reach", lambda order: True)
    short = short_of_coins()
    assert (short.named.openings.count(), short.weak.is_going) == (0, False)
    assert short.named.last_failure_reason == "COINS_PROMISED_ELSEWHERE"
