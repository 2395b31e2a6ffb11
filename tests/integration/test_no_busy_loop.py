"""An order that gets no further waits: whatever is flagged or noted, and however often it is looked at."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from lightning.errors import OutcomeUnknown
from lightning.types import NodeInvoiceState as NodeInvoice
from lightning.types import Outpoint
from orders import advance as advancing
from orders import flags, nudges, queries
from orders.advance import advance
from orders.causes import FlagKind
from orders.models import ChannelOpening, ChannelOrder, Flag, OrderEvent
from orders.states import InvoiceState, OpeningState, OrderState
from tests.factories import OrderFactory, SnapshotFactory, pubkey
from tests.scripted import ScriptedNode, channel, held, mined

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def look(order: Any, node: ScriptedNode) -> ChannelOrder:
    """As when its time has come."""
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def rests(order_id: UUID) -> bool:
    due_at = ChannelOrder.objects.get(pk=order_id).due_at
    return due_at is None or due_at > timezone.now()


def inactive_and_unpaid(node: ScriptedNode) -> Any:
    """Its funding is deep for a day, its channel inactive, and the node has lost the invoice that it holds."""
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, due_at=timezone.now())
    ours = order.openings.get().transaction.txid
    node.wallet[ours] = mined(ours, confirmations=150, height=651)
    node.open = [channel(Outpoint(ours, 0), order, active=False)]
    return order


def test_found_c4_two_flags_of_an_order_that_gets_no_further_make_no_busy_loop(node: ScriptedNode) -> None:
    """They took each other's place in the one slot there was, and each change was a reason to look again."""
    order = inactive_and_unpaid(node)
    for _ in range(2):  # the funding is found to be deep, and then nothing is left to do
        look(order, node)
    journalled, asked = OrderEvent.objects.filter(order=order).count(), []
    for _ in range(50):
        node.calls.clear()
        look(order, node)
        asked.append(node.calls.count("channels_with"))
        assert rests(order.pk)
    assert OrderEvent.objects.filter(order=order).count() == journalled <= 8
    assert set(asked) == {1}
    kinds = [flag.kind for flag in queries.order_or_raise(order.pk).standing]
    assert sorted(kinds) == [FlagKind.CHANNEL_INACTIVE, FlagKind.INVOICE_UNKNOWN]


def test_found_c4_both_flags_fall_when_invoice_and_channel_are_there(node: ScriptedNode) -> None:
    order = inactive_and_unpaid(node)
    look(order, node)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoice.SETTLED)
    assert [flag.kind for flag in look(order, node).standing] == [FlagKind.CHANNEL_INACTIVE]
    node.open = [channel(Outpoint(order.openings.get().transaction.txid, 0), order)]
    ended = look(order, node)
    assert (ended.state, ended.standing_flags) == (OrderState.OPEN, 0)
    assert Flag.objects.filter(order=order, lowered_by="lsp").count() == 2


def steps(monkeypatch: pytest.MonkeyPatch, *does: Any) -> list[int]:
    """Every look at an order does this instead; what is returned has a number for each."""
    taken: list[int] = []
    doing = itertools.cycle(does)

    def step(order: ChannelOrder, node: object, now: datetime, _: object) -> datetime | None:
        taken.append(len(taken))
        due: datetime | None = next(doing)(order, now)
        return due

    monkeypatch.setattr(advancing, "_step", step)
    return taken


def test_a_flag_or_a_note_is_no_reason_to_look_again(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(open=True)
    words = itertools.count()

    def says_something_else(seen: ChannelOrder, now: datetime) -> None:
        flags.flag(seen.pk, FlagKind.UNMINED, f"It is {next(words)} already.")

    taken = steps(monkeypatch, says_something_else)
    look(order, node)
    assert len(taken) == 1 and rests(order.pk)


def test_control_a_move_is_one(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(open=True)

    def steps_on(seen: ChannelOrder, now: datetime) -> None:
        if len(taken) == 1:
            ChannelOrder.objects.filter(pk=seen.pk).update(step=seen.step + 1)

    taken = steps(monkeypatch, steps_on)
    look(order, node)
    assert len(taken) == 2


def test_a_look_that_never_comes_to_rest_leaves_a_pause(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(open=True)
    taken = steps(monkeypatch, lambda seen, now: nudges.nudge_all([seen.pk]) and None)
    look(order, node)
    assert len(taken) == advancing._MOST_STEPS and rests(order.pk)


def test_a_step_that_asks_for_another_look_at_once_gets_a_pause(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(open=True)
    taken = steps(monkeypatch, lambda seen, now: now)
    look(order, node)
    assert len(taken) == 1 and rests(order.pk)


def test_a_defect_leaves_a_pause_whatever_it_has_moved_before(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(open=True)

    def moves_and_breaks(seen: ChannelOrder, now: datetime) -> None:
        nudges.nudge_all([seen.pk])
        raise ZeroDivisionError

    steps(monkeypatch, moves_and_breaks, lambda seen, now: None)
    with pytest.raises(ZeroDivisionError):
        look(order, node)
    assert rests(order.pk)
    assert [flag.kind for flag in queries.order_or_raise(order.pk).standing] == [FlagKind.SERVER_DEFECT]
    assert look(order, node).standing == []  # it went through: the defect is over


def test_what_is_nudged_after_the_last_step_is_looked_at(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(open=True)
    pause = advancing._pause

    def nudged_just_then(order_id: UUID) -> None:
        pause(order_id)
        nudges.nudge_all([order_id])

    monkeypatch.setattr(advancing, "_pause", nudged_just_then)
    steps(monkeypatch, lambda seen, now: nudges.nudge_all([seen.pk]) and None)
    look(order, node)
    assert not rests(order.pk)


def test_two_orders_of_a_peer_that_refuses_come_to_rest(node: ScriptedNode) -> None:
    """Each one's end nudges the other, if it waits for that: it must not end the other's pause for ever."""
    orders = [OrderFactory(uri_set=True, node_pubkey=pubkey(1), due_at=timezone.now()) for _ in range(3)]
    for order in orders:
        node.by_hash[order.hold_invoice.payment_hash] = held(order)
    looks = 0
    while due := queries.due_ids(timezone.now()):
        for order_id in due:
            advance(order_id, node=node)  # type: ignore[arg-type]
            looks += 1
        assert looks < 30, "they go on for ever"
    assert node.calls.count("open_channel") == len(orders)


def test_an_attempt_that_falls_silent_at_each_call_begins_once(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, due_at=timezone.now())
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.fails_at["open_channel"] = OutcomeUnknown("the answer was lost")
    for _ in range(10):
        advance(order.pk, node=node)  # type: ignore[arg-type]
    assert rests(order.pk)
    assert node.calls.count("open_channel") == 1
    assert ChannelOpening.objects.filter(order=order, state=OpeningState.FAILED).count() == 1
