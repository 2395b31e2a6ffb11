"""An outage of the node is found out once, and no order is worse off for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown
from lightning.node import LndNode
from orders import outage, queries, reconcile, tasks
from orders.advance import advance
from orders.models import ChannelOrder, Heartbeat
from orders.outage import NodeOutage, Outage
from orders.states import InvoiceState
from tests.concurrency.test_races import at_once
from tests.factories import OrderFactory, SnapshotFactory
from tests.scripted import ScriptedNode, held

AWAY = NodeUnavailable("connection refused")


@pytest.fixture
def node(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> ScriptedNode:
    SnapshotFactory()
    fake = ScriptedNode()
    monkeypatch.setattr("lightning.connection.node", lambda: fake)
    return fake


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pass_seconds(seconds: float) -> None:
        now[0] += seconds

    return pass_seconds


def asking(answers: list[LightningError | None]) -> LndNode:
    """A node that says these one after the other, and the last for ever."""

    class Node:
        def require_active(self) -> None:
            error = answers.pop(0) if len(answers) > 1 else answers[0]
            if error is not None:
                raise error

        def newest_add_index(self) -> int:
            return 0

    return cast(LndNode, Node())


# What is known of the node


def test_a_call_that_fails_while_the_node_answers_is_no_outage() -> None:
    known = NodeOutage()
    assert not known.explains(asking([None])) and not known.is_on


def test_the_node_is_asked_again_after_pauses_that_grow(clock: Callable[[float], None]) -> None:
    asked: list[LightningError | None] = [AWAY] * 20
    node, known = asking(asked), NodeOutage()
    assert known.explains(node)
    for _ in range(120):  # a minute, looked at twice a second
        clock(0.5)
        assert known.lasts(node)
    assert 20 - len(asked) == 14  # at once, after 1, 3, 7, 12, 17 s, and so on


def test_the_end_of_an_outage_is_said_once(caplog: pytest.LogCaptureFixture, clock: Callable[[float], None]) -> None:
    caplog.set_level("INFO")
    known = NodeOutage()
    known.explains(asking([AWAY]))
    clock(2)
    assert [known.lasts(asking([None])) for _ in range(3)] == [False] * 3
    known.over()
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "the node cannot be used, trying again until it can", "the node is back",
    ]  # fmt: skip


def test_many_threads_that_meet_it_at_once_say_it_once(caplog: pytest.LogCaptureFixture) -> None:
    known = Outage(outage.log, "the node")
    at_once(*[lambda: known.begun(AWAY)] * 8)
    assert len(caplog.messages) == 1


def test_a_node_that_is_up_and_answers_us_no_more_is_away() -> None:
    """As with a macaroon that was revoked while we run."""

    class Closed:
        def require_active(self) -> None:
            pass

        def newest_add_index(self) -> int:
            raise NodeUnavailable("verification failed", reason="PERMISSION_DENIED")

    assert NodeOutage().explains(cast(LndNode, Closed()))


def test_one_thread_asks_while_the_others_go_on(clock: Callable[[float], None]) -> None:
    known, go_on, asked = NodeOutage(), threading.Event(), threading.Event()
    known.explains(asking([AWAY]))
    clock(5)

    class Hanging:
        def require_active(self) -> None:
            asked.set()
            go_on.wait(10)
            raise AWAY

    asker = threading.Thread(target=known.lasts, args=[cast(LndNode, Hanging())])
    asker.start()
    assert asked.wait(10)
    assert known.lasts(cast(LndNode, Hanging()))  # at once
    go_on.set()
    asker.join(10)


# Orders meanwhile


def claimed(node: ScriptedNode, **changes: Any) -> ChannelOrder:
    order = OrderFactory(uri_set=True, due_at=timezone.now(), **changes)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    return order


def test_found_c7_an_order_that_meets_the_outage_stays_due_without_a_word(
    node: ScriptedNode, caplog: pytest.LogCaptureFixture
) -> None:
    orders = [claimed(node) for _ in range(5)]
    node.fails = AWAY
    for order in orders:
        advance(order.pk, node=node)  # type: ignore[arg-type]
    assert set(queries.due_ids(timezone.now())) == {order.pk for order in orders}
    assert [message for message in caplog.messages if "order=" in message] == []
    assert len([message for message in caplog.messages if "cannot be used" in message]) == 1


def test_found_c7_a_call_whose_outcome_is_unknown_meets_the_outage_too(node: ScriptedNode) -> None:
    """As one that changes something does: a payment that goes back."""
    order = OrderFactory(paid_lightning=True, invoice__state=InvoiceState.RETURNING, due_at=timezone.now())
    node.fails = OutcomeUnknown("connection lost")
    advance(order.pk, node=node)  # type: ignore[arg-type]
    order.refresh_from_db()
    assert outage.of_node().is_on and not order.needs_staff
    assert order.pk in queries.due_ids(timezone.now())


def test_a_call_of_an_order_that_fails_alone_is_told_and_pauses_that_order(
    node: ScriptedNode, caplog: pytest.LogCaptureFixture
) -> None:
    order = claimed(node)
    node.fails_at["channels_with"] = NodeUnavailable("permission denied", reason="PERMISSION_DENIED")
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert not outage.of_node().is_on
    assert queries.due_ids(timezone.now()) == []
    assert any(str(order.pk) in message for message in caplog.messages)


def test_found_c7_a_queued_task_asks_nothing_while_the_node_is_away(node: ScriptedNode) -> None:
    order = claimed(node)
    node.fails = AWAY
    assert outage.of_node().explains(node)  # type: ignore[arg-type]
    node.calls.clear()
    for _ in range(50):
        tasks.advance_order(str(order.pk))
    assert len(node.calls) <= 1
    assert order.pk in queries.due_ids(timezone.now())


def test_found_c7_nothing_is_queued_while_the_node_is_away_and_everything_afterwards(node: ScriptedNode) -> None:
    for _ in range(30):
        claimed(node)
    node.fails = AWAY
    done = reconcile.reconcile()
    assert (done.node_reached, done.queued, OrmQ.objects.count()) == (False, 0, 0)
    assert Heartbeat.objects.get(name="reconcile").detail.endswith("node=down")
    node.fails = None
    assert reconcile.reconcile().queued == 30 == OrmQ.objects.count()


def test_found_c7_a_deadline_that_passed_in_an_outage_is_looked_at_with_the_rest(node: ScriptedNode) -> None:
    order = claimed(node, open_deadline_at=timezone.now() - timedelta(hours=1))
    node.fails = AWAY
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == "uri_set"
    node.fails = None
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == "give_up"
