"""Peers that stall must not hold every thread: so many openings at a time, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import PeerOffline
from orders import actors, queries
from orders.advance import advance
from orders.models import SwitchName
from orders.openings import cancelling, opening, turns
from orders.operations import pausing
from orders.states import OpeningState
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.scripted import ScriptedNode, held

pytestmark = pytest.mark.django_db(transaction=True)


def busy(count: int, **fields: Any) -> None:
    for number in range(count):
        order = OrderFactory(uri_set=True, node_pubkey=pubkey(100 + number))
        OpeningFactory(order=order, negotiating=True, node_pubkey=pubkey(100 + number), **fields)


def attempt() -> tuple[Any, ScriptedNode]:
    SnapshotFactory()
    order, node = OrderFactory(uri_set=True, node_pubkey=pubkey(1)), ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    opening.attempt(queries.order_or_raise(order.pk), node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk), node


def test_an_order_waits_for_its_turn_while_others_are_negotiated(settings: Any) -> None:
    busy(settings.PARALLEL_OPENINGS)
    order, node = attempt()
    assert "open_channel" not in node.calls
    assert (order.last_failure_reason, order.failed_openings) == ("LSP_BUSY", 0)
    assert order.due_at is not None and order.due_at <= timezone.now() + timedelta(seconds=10)


def test_attempts_that_are_stuck_hold_nobody_up(settings: Any) -> None:
    busy(settings.PARALLEL_OPENINGS, changed_at=timezone.now() - timedelta(hours=1))
    _, node = attempt()
    assert "open_channel" in node.calls


def test_what_is_published_holds_nobody_up(settings: Any) -> None:
    for number in range(settings.PARALLEL_OPENINGS):
        order = OrderFactory(opening=True, attempts=False, node_pubkey=pubkey(100 + number))
        OpeningFactory(order=order, state=OpeningState.PUBLISHED, node_pubkey=pubkey(100 + number))
    _, node = attempt()
    assert "open_channel" in node.calls


class Away(turns._Here):
    """Its node was dialled in vain."""

    def enter(self, order: Any, node: Any) -> None:
        raise PeerOffline("nobody answers", reason="PEER_NOT_REACHABLE")


def away(**fields: Any) -> tuple[Any, ScriptedNode]:
    order, node = OrderFactory(uri_set=True, node_pubkey=pubkey(1), **fields), ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    opening.attempt(queries.order_or_raise(order.pk), node, Away())  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk), node


def test_whose_node_is_still_away_waits_on_without_a_word_to_our_own() -> None:
    order, node = away(last_failure_reason="PEER_NOT_REACHABLE")
    assert (node.calls, order.failed_openings) == ([], 1)
    assert order.due_at is not None and order.due_at > timezone.now()


def test_what_our_node_has_of_an_order_is_looked_for_when_the_waiting_for_its_node_begins() -> None:
    order, node = away()
    assert "transactions" in node.calls and "pending_channels" in node.calls
    assert order.last_failure_reason == "PEER_NOT_REACHABLE"


def test_openings_that_go_on_while_an_order_is_looked_at_begin_no_attempt_that_has_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the one look would hold its thread for a peer that is not there."""
    paused = pausing.pause(SwitchName.OPENINGS, reason="Maintenance", actor=actors.staff("ada"))
    told = iter([paused])
    monkeypatch.setattr(queries, "paused", lambda name: next(told, None))
    order, node = away()
    assert "connect" not in node.calls and "open_channel" not in node.calls
    assert order.last_failure_reason == "OPENINGS_PAUSED"


def test_a_look_that_may_not_wait_for_peers_asks_our_node_nothing_of_an_order_that_waits_for_one() -> None:
    order, node = OrderFactory(uri_set=True, due_at=timezone.now()), ScriptedNode()
    assert advance(order.pk, node=node, turn=turns.NEVER)  # type: ignore[arg-type]
    assert (node.calls, queries.is_due(order.pk, timezone.now())) == ([], True)


def test_who_lost_a_coin_to_a_quicker_attempt_goes_on_at_once_to_wait_for_another() -> None:
    """With a pause it came after all who asked meanwhile, again and again."""
    SnapshotFactory()
    order, node = OrderFactory(uri_set=True, node_pubkey=pubkey(1)), ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    OpeningFactory(order=order, negotiating=True, node_pubkey=pubkey(1))
    cancelling.cancel(order.pk, node, reason="LSP_BUSY", detail="Others were quicker.")  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    assert (order.live_opening, order.last_failure_reason, order.failed_openings) == (None, "LSP_BUSY", 0)
    assert queries.is_due(order.pk, timezone.now())
