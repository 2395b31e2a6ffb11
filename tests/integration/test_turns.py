"""Peers that stall must not hold every thread: so many openings at a time, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import PeerOffline, Rejected
from orders import actors, queries
from orders.admission import placing
from orders.advance import advance
from orders.models import Reservation, SwitchName
from orders.openings import cancelling, opening, turns
from orders.operations import pausing
from orders.states import OpeningState, OrderState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, SnapshotFactory, pubkey
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
    assert {"leases", "transactions", "channels_with"} <= set(node.calls)
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


def test_who_lost_a_coin_to_a_quicker_attempt_goes_on_in_a_moment_to_wait_for_another() -> None:
    """With a pause it came after all who asked meanwhile, again and again."""
    SnapshotFactory()
    order, node = OrderFactory(uri_set=True, node_pubkey=pubkey(1)), ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    OpeningFactory(order=order, negotiating=True, node_pubkey=pubkey(1))
    cancelling.cancel(order.pk, node, reason="LSP_BUSY", detail="Others were quicker.")  # type: ignore[arg-type]
    order = queries.order_or_raise(order.pk)
    assert (order.live_opening, order.last_failure_reason, order.failed_openings) == (None, "LSP_BUSY", 0)
    assert order.due_at is not None and order.due_at < timezone.now() + timedelta(seconds=2)


class There(turns._Here):
    """The node's events say that the peer is connected."""

    def is_there(self, pubkey: str) -> bool:
        return True


def claimed(turn: turns.Turn, **fields: Any) -> tuple[Any, ScriptedNode]:
    SnapshotFactory(**fields)
    order, node = OrderFactory(uri_set=True, node_pubkey=pubkey(1), due_at=timezone.now()), ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    advance(order.pk, node=node, turn=turn)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk), node


def before_the_attempt(node: ScriptedNode) -> list[str]:
    return node.calls[: node.calls.index("open_channel")]


def test_who_is_there_by_the_nodes_events_is_neither_dialled_nor_listed() -> None:
    _, node = claimed(There())
    assert "connect" not in before_the_attempt(node)


def test_control_of_whom_nothing_was_told_is_asked_for() -> None:
    _, node = claimed(turns.HERE)
    assert "connect" in before_the_attempt(node)


def test_who_has_gone_though_the_events_say_he_is_there_costs_the_attempt_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(node: Any, **_: Any) -> Any:
        raise PeerOffline("peer is not online", reason="PEER_NOT_REACHABLE")

    monkeypatch.setattr(ScriptedNode, "open_channel", gone)
    order, _ = claimed(There())
    assert [attempt.state for attempt in order.openings.all()] == [OpeningState.FAILED]
    assert (order.state, order.last_failure_reason) == (OrderState.URI_SET, "PEER_NOT_REACHABLE")
    assert order.due_at is not None and order.due_at > timezone.now()


def test_the_height_is_that_of_the_last_block_until_the_funding_may_be_published() -> None:
    _, node = claimed(There())
    assert "info" not in before_the_attempt(node)


def test_control_of_a_node_that_was_seen_long_ago_the_height_is_asked() -> None:
    _, node = claimed(There(), at=timezone.now() - timedelta(hours=1))
    assert "info" in before_the_attempt(node)


class Refusing:
    """The peer is asked, and refuses."""

    def funding_request(self, *, timeout_seconds: float) -> Any:
        raise Rejected("no", reason="NODE_REFUSED")

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(node: ScriptedNode, **_: Any) -> Refusing:
        node._called("open_channel")
        return Refusing()

    monkeypatch.setattr(ScriptedNode, "open_channel", asked)


def quote_of(value_sat: int) -> Any:
    order = OrderFactory()
    Reservation.objects.filter(order=order).update(value_sat=value_sat)
    return order


@pytest.mark.parametrize("begins", [True, False])
def test_quotes_that_nobody_could_be_served_any_more_end_whether_or_not_an_attempt_begins(
    begins: bool, asking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hopeless = quote_of(10**12)
    if not begins:
        monkeypatch.setattr(opening, "_intend", lambda *_, **__: None)
    _, node = claimed(There())
    assert ("open_channel" in node.calls) is begins
    assert Reservation.objects.get(order=hopeless).is_going


def test_nobody_waits_for_that_before_his_channel_is_asked_for(asking: None, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    call = ScriptedNode._called
    monkeypatch.setattr(ScriptedNode, "_called", lambda node, name: (done.append(name), call(node, name))[1])
    monkeypatch.setattr(placing, "end_hopeless_quotes", lambda: done.append("quotes"))
    claimed(There())
    assert done.index("open_channel") < done.index("quotes")


class TestReadWithWhatItHas:
    def test_an_order_to_which_nothing_has_come_is_one_statement(self, django_assert_num_queries: Any) -> None:
        order = OrderFactory(paid_lightning=True)
        with django_assert_num_queries(1):
            read = queries.order_or_raise(order.pk)
            assert (list(read.openings.all()), list(read.onchain_payments.all())) == ([], [])

    def test_what_has_come_is_read_with_it(self, django_assert_num_queries: Any) -> None:
        order = OrderFactory(uri_set=True)
        OpeningFactory(order=order, negotiating=True)
        DepositFactory(order=order)
        with django_assert_num_queries(3):
            read = queries.order_or_raise(order.pk)
            assert (len(read.openings.all()), len(read.onchain_payments.all())) == (1, 1)

    def test_what_comes_later_is_found_by_who_asks(self) -> None:
        """As of any list that was read before: who filters it asks the database."""
        read = queries.order_or_raise(OrderFactory(uri_set=True).pk)
        OpeningFactory(order=read, negotiating=True)
        assert read.openings.filter(state=OpeningState.NEGOTIATING).count() == 1
        assert read.openings.count() == 0 and not read.openings.all()
