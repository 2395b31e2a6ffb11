"""Several at once, on a real PostgreSQL; each race with a control that shows it happens without its guard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from lightning.types import NodeAddress
from orders import actors, journal, locks, nudges, queries
from orders import advance as advancing
from orders.errors import KeyInFlight, NotClaimable, TokenNotTaken, TooManyOrders
from orders.models import ChannelOpening, ChannelOrder, Coupon, IdempotencyKey, OrderEvent, Reservation
from orders.openings import opening, terms
from orders.operations import claiming, creating
from orders.operations.creating import Asked, Idempotency, Purchase
from orders.options import Wanted
from tests.factories import OrderFactory, ServiceFactory, pubkey
from tests.fakes import FakeNode

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Every call in a thread of its own, all started together; what each returned or raised."""
    results: list[Any] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = calls[index]()
        except Exception as error:  # noqa: BLE001  what is raised is the result
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def purchase(**changes: Any) -> Purchase:
    fields: dict[str, Any] = {
        "wanted": Wanted(1_000_000, 0, 4_032), "service_id": None, "address": None, "announced": None,
        "refund_address": "", "client_hash": "",
    }  # fmt: skip
    return Purchase(**(fields | changes))


@pytest.fixture
def scarce() -> FakeNode:
    """A node with coins for one channel of a million, and not for two."""
    ServiceFactory()
    node = FakeNode()
    node.spendable_sat = 1_600_000
    return node


def test_no_client_has_more_unpaid_orders_than_it_may_however_many_it_asks_for_at_once(
    scarce: FakeNode, settings: Any
) -> None:
    settings.UNPAID_ORDERS_PER_CLIENT = 1
    results = at_once(*[lambda: creating.create(purchase(client_hash="one"), node=scarce)] * 6)
    assert ChannelOrder.objects.count() == 1
    assert sum(isinstance(result, TooManyOrders) for result in results) == 5
    assert len(scarce.invoices) == 1  # the others' invoices are withdrawn


def test_control_without_the_client_s_lock_it_has(
    scarce: FakeNode, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UNPAID_ORDERS_PER_CLIENT = 1
    together = threading.Barrier(2)
    count = creating.quoting.require_stock

    def slow(*arguments: Any, **named: Any) -> Any:
        stock = count(*arguments, **named)
        if connection.in_atomic_block:  # counted, not yet committed: the other counts now too
            together.wait(5)
        return stock

    monkeypatch.setattr(creating.quoting, "require_stock", slow)
    monkeypatch.setattr(creating.placing, "quoting", lambda client_hash: ())
    at_once(*[lambda: creating.create(purchase(client_hash="one"), node=scarce)] * 2)
    assert ChannelOrder.objects.count() == 2


@pytest.mark.parametrize(("clients", "are_together"), [(("one", "two"), True), (("", ""), True), (("one",) * 2, False)])
def test_who_buys_waits_for_his_own_other_purchases_alone(
    clients: tuple[str, str], are_together: bool, scarce: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, met = threading.Barrier(2), []
    count = creating.quoting.require_stock

    def slow(*arguments: Any, **named: Any) -> Any:
        if connection.in_atomic_block:  # counting, not yet committed
            with suppress(threading.BrokenBarrierError):
                met.append(together.wait(2))
        return count(*arguments, **named)

    monkeypatch.setattr(creating.quoting, "require_stock", slow)
    at_once(*[partial(creating.create, purchase(client_hash=client), node=scarce) for client in clients])
    assert ChannelOrder.objects.count() == 2
    assert (len(met) == 2) is are_together


def test_while_somebody_is_quoted_nobody_is_promised_coins(scarce: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a quote that nobody could be served any more would stay."""
    may_promise: list[bool] = []
    count = creating.quoting.require_stock

    def asks(*arguments: Any, **named: Any) -> Any:
        if connection.in_atomic_block:
            may_promise.extend(at_once(lambda: _may_have(locks.Lock.SALES)))
        return count(*arguments, **named)

    monkeypatch.setattr(creating.quoting, "require_stock", asks)
    creating.create(purchase(client_hash="one"), node=scarce)
    assert may_promise == [False]
    assert at_once(lambda: _may_have(locks.Lock.SALES)) == [True]


def test_of_too_many_quotes_one_at_a_time_chooses_which_end(scarce: FakeNode, settings: Any) -> None:
    """Who is not the one leaves it to the next who buys."""
    creating.create(purchase(client_hash="old"), node=scarce)
    settings.MOST_UNPAID_ORDERS = 1
    going = Reservation.objects.filter(gives_way_at__isnull=False)
    with transaction.atomic():
        locks.hold(locks.Lock.SURPLUS)
        at_once(lambda: creating.create(purchase(client_hash="new"), node=scarce))
        assert not going.exists()
    creating.create(purchase(client_hash="next"), node=scarce)
    assert set(going.values_list("client_hash", flat=True)) == {"old", "new"}


def _may_have(lock: locks.Lock) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int(lock)])
        return bool(cursor.fetchone()[0])


def test_the_last_use_of_a_coupon_is_sold_once_however_many_ask_at_once(scarce: FakeNode) -> None:
    scarce.spendable_sat = 100_000_000
    Coupon.objects.create(code="PARTNER-2026", discount_percent=50, most_uses=1)
    results = at_once(*[lambda: creating.create(purchase(asked=Asked(token="PARTNER-2026")), node=scarce)] * 6)
    assert ChannelOrder.objects.filter(coupon__isnull=False).count() == 1
    assert sum(isinstance(result, TokenNotTaken) for result in results) == 5
    assert len(scarce.invoices) == 1


def test_control_without_the_sales_lock_it_is_sold_twice(scarce: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    scarce.spendable_sat = 100_000_000
    Coupon.objects.create(code="PARTNER-2026", discount_percent=50, most_uses=1)
    together = threading.Barrier(2)
    left = creating.couponing.require_left

    def slow(*arguments: Any, **named: Any) -> None:
        left(*arguments, **named)
        if connection.in_atomic_block:  # counted, not yet committed: the other counts now too
            together.wait(5)

    monkeypatch.setattr(creating.couponing, "require_left", slow)
    monkeypatch.setattr(creating.placing, "counting", lambda: None)
    at_once(*[lambda: creating.create(purchase(asked=Asked(token="PARTNER-2026")), node=scarce)] * 2)
    assert ChannelOrder.objects.filter(coupon__isnull=False).count() == 2


def test_the_same_key_at_once_makes_one_order(scarce: FakeNode) -> None:
    scarce.spendable_sat = 100_000_000
    key = Idempotency("a-key-of-a-wallet", "one body")
    results = at_once(*[lambda: creating.create(purchase(idempotency=key), node=scarce)] * 6)
    assert ChannelOrder.objects.count() == 1 and IdempotencyKey.objects.count() == 1
    orders = {result.pk for result in results if isinstance(result, ChannelOrder)}
    assert len(orders) == 1
    refused = [result for result in results if not isinstance(result, ChannelOrder)]
    assert {type(error) for error in refused} <= {KeyInFlight}
    assert creating.create(purchase(idempotency=key), node=scarce).pk in orders


def test_d3_of_two_claims_at_once_one_wins_and_the_other_is_told() -> None:
    """The first server consulted its table of claims and never wrote to it."""
    order = OrderFactory(paid_lightning=True)
    nodes = [NodeAddress(pubkey(1)), NodeAddress(pubkey(2))]
    results = at_once(*[_claim(order.pk, node) for node in nodes])
    assert sum(isinstance(result, NotClaimable) for result in results) == 1
    winner = next(result for result in results if isinstance(result, ChannelOrder))
    assert ChannelOrder.objects.get(pk=order.pk).node_pubkey == winner.node_pubkey
    assert OrderEvent.objects.filter(order=order, cause="claimed").count() == 1


def test_control_without_the_row_lock_both_claims_win(monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(paid_lightning=True)
    together = threading.Barrier(2)

    @contextmanager
    def unlocked(order_id: UUID) -> Iterator[ChannelOrder]:
        read = ChannelOrder.objects.get(pk=order_id)
        together.wait(5)
        yield read
        ChannelOrder.objects.filter(pk=order_id).update(state=read.state, node_pubkey=read.node_pubkey)

    monkeypatch.setattr(claiming, "locked", unlocked)
    monkeypatch.setattr(journal.OrderEvent.objects, "create", lambda **_: None)
    results = at_once(*[_claim(order.pk, NodeAddress(pubkey(n))) for n in (1, 2)])
    assert all(isinstance(result, ChannelOrder) for result in results)


def _claim(order_id: UUID, node: NodeAddress) -> Callable[[], ChannelOrder]:
    return lambda: claiming.claim(order_id, node, announced=None, actor=actors.BUYER)


def test_two_processes_that_both_mean_to_open_begin_one_attempt() -> None:
    """The advisory lock is thrift only: with it lost, row and constraint still allow one attempt."""
    order = OrderFactory(uri_set=True)
    seen = queries.order_or_raise(order.pk)
    results = at_once(*[lambda: opening._intend(seen.pk, terms.of(seen))] * 6)
    assert ChannelOpening.objects.filter(order=order).count() == 1
    assert sum(isinstance(result, ChannelOpening) for result in results) == 1


def test_two_orders_of_one_peer_begin_one_attempt() -> None:
    orders = [queries.order_or_raise(OrderFactory(uri_set=True, node_pubkey=pubkey(7)).pk) for _ in range(2)]
    results = at_once(*[_intend(order) for order in orders])
    assert sum(isinstance(result, ChannelOpening) for result in results) == 1
    assert not [result for result in results if isinstance(result, Exception)]
    waiting = ChannelOrder.objects.exclude(pk=ChannelOpening.objects.get().order_id).get()
    assert waiting.last_failure_reason == "PEER_BUSY" and waiting.due_at is not None


def _intend(order: ChannelOrder) -> Callable[[], ChannelOpening | None]:
    return lambda: opening._intend(order.pk, terms.of(order))


def test_control_without_looking_for_a_live_attempt_the_constraint_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(uri_set=True)
    seen = queries.order_or_raise(order.pk)
    monkeypatch.setattr(opening, "_may_begin", lambda order, seen: True)
    at_once(*[lambda: opening._intend(seen.pk, terms.of(seen))] * 4)
    assert ChannelOpening.objects.filter(order=order).count() == 1


def test_an_order_that_somebody_is_at_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(paid_lightning=True)
    working, done = threading.Event(), threading.Event()

    def slow(order_id: UUID, *_: object) -> None:
        working.set()
        done.wait(10)

    monkeypatch.setattr(advancing, "_advance", slow)
    first = threading.Thread(target=lambda: (advancing.advance(order.pk, node=FakeNode()), connection.close()))  # type: ignore[arg-type, func-returns-value]
    first.start()
    assert working.wait(10)
    assert advancing.advance(order.pk, node=FakeNode()) is False  # type: ignore[arg-type]
    done.set()
    first.join(10)
    assert advancing.advance(order.pk, node=FakeNode()) is True  # type: ignore[arg-type]


def test_a_nudge_during_an_advance_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(paid_lightning=True)
    looks: list[str] = []

    def look(seen: ChannelOrder, *_: object) -> None:
        looks.append(seen.state)
        if len(looks) == 1:
            at_once(lambda: nudges.nudge_all([order.pk]))

    monkeypatch.setattr(advancing, "_step", look)
    advancing.advance(order.pk, node=FakeNode())  # type: ignore[arg-type]
    assert len(looks) == 2
