"""The database is lost exactly between a step and its record: the order ends right, whether the commit was done or not.

One purchase for each record of each way through an order and each moment, on the simulated node. Whoever commits
cannot know which it was: it hears only that the connection is gone.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, close_old_connections

from orders.models import ChannelOrder
from orders.openings import committing, opening
from orders.states import InvoiceState
from streams import standby
from tests.chaos import test_lost_replies as replies
from tests.chaos.ending import see_through
from tests.chaos.line import Cut, Line
from tests.chaos.test_kills import assert_whole
from tests.chaos.test_lost_replies import Sale, Way
from tests.chaos.wire import Trouble, Wire
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED
from tests.simulator.network import SimulatedNetwork

Quote = dict[str, Any]


class Buyer(Sale):
    """Who asks again after a 503. What the first request left, if anything, nobody was shown."""

    key: str | None = None

    def buy(self, tries: int = 2, **more: Any) -> Quote:
        named = more or {"node_uri": self.peer.p2p_address}
        return self.ask("/channel/buy", {"local_balance": 500_000, "channel_expiry": 4, **named}, tries)

    def paid(self) -> tuple[Quote, Any]:
        """An order that names no node, its payment held."""
        quote = self.buy(private=True)
        payment = self.shop.pay(quote)
        self.advance_until(quote, "lightning_payment_held")
        return quote, payment

    def ask(self, path: str, body: dict[str, Any], tries: int = 2) -> dict[str, Any]:
        headers = {"Idempotency-Key": self.key} if self.key else {}
        for _ in range(tries):
            close_old_connections()
            answer = self.shop.client.post(path, body, content_type="application/json", headers=headers)
            if answer.status_code == 200:
                return dict(answer.json())
            assert answer.status_code == 503, answer.content
            assert answer.json()["code"] == "not_available" and answer["Retry-After"]
        raise AssertionError(answer.content)


@pytest.fixture
def network(simulated_network: SimulatedNetwork) -> SimulatedNetwork:
    return simulated_network


@pytest.fixture
def line(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    line = Line(monkeypatch)
    turn = shop.turn

    def go_on() -> None:
        """As the worker and the streams do: what fails by the database is tried again later."""
        close_old_connections()
        try:
            turn()
        except OperationalError as error:
            print("the database:", error)
        close_old_connections()

    monkeypatch.setattr(shop, "turn", go_on)
    with line.watched():
        yield line


@pytest.fixture
def sale(
    shop: Shop, network: SimulatedNetwork, line: Line, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Buyer]:
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 0.3)  # for answers that never come
    monkeypatch.setattr(committing, "PENDING_SECONDS", 0.3)
    monkeypatch.setattr(opening, "CONNECT_SECONDS", 2)
    control = network.lsp.control
    yield Buyer(shop, Wire(control, monkeypatch), network.add_peer(), settings)
    control.end_faults()


def claimed_by_hand(sale: Buyer) -> None:
    """The node is named after the payment, and named again where the first claim was not answered."""
    quote, payment = sale.paid()
    body = {"order_id": quote["order_id"], "node_uri": sale.peer.p2p_address}
    sale.ask("/channel/manual_finalise", body)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)
    assert sale.shop.journal(quote).count("claimed") == 1


def refused_then_delivered(sale: Buyer) -> None:
    """The node refuses the signed funding: it is put out; or published after all, where the refusal was forgotten."""
    sale.wire.plan("PublishTransaction", 1, Trouble.ERROR_NOT_DONE)
    sale.settings.PUBLISH_PATIENCE_SECONDS = 0
    quote = sale.buy()
    payment = sale.shop.pay(quote)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)


def never_claimed(sale: Buyer) -> None:
    """The payment goes back."""
    sale.settings.CLAIM_WINDOW_SECONDS = 0
    quote, payment = sale.paid()
    replies.advance_until(sale.shop, quote, lambda: sale.shop.order(quote).state == "refunded", "refunded")
    assert payment.wait() == FAILED
    assert sale.shop.order(quote).hold_invoice.state == InvoiceState.CANCELLED
    sale.shop.assert_nothing_left(quote)


#: The records of each way, as (record, which of them); those that an earlier way has are not said again.
RECORDS: dict[Way, list[tuple[str, int]]] = {
    replies.delivered: [
        ("creating._insert", 1), ("holding.hold", 1), ("funding._record_funded", 1),
        ("committing._record_committed", 1),
        ("publishing._record_published", 1), ("settling._record_settling", 1), ("opening._intend", 1),
        ("limits.wait_seconds", 1), ("snapshot.refresh_snapshot", 1), ("snapshot.refresh_snapshot", 2),
        ("snapshot._ours", 1), ("watching.read_deposits", 1), ("watching._read_again", 1), ("reconcile.look", 1),
        ("settling.settle", 1),
        ("following._record_open", 1), ("publishing._record_depth", 1), ("publishing._confirm", 1),
        *(("clock.set_due", nth) for nth in range(1, 8)),
    ],
    never_claimed: [("counting.intend_return", 1), ("returning.record_cancelled", 1)],
    claimed_by_hand: [("claiming.claim", 1)],
    replies.paid_on_chain: [("recording._record", 1), ("counting.count", 1), ("returning.record_cancelled", 1)],
    replies.cancelled_then_delivered: [
        ("opening._remember", 1), ("cancelling.begin", 1), ("cancelling.finish", 1), ("cancelling._record_failed", 1),
        ("opening._intend", 2), ("funding._record_funded", 2), ("retrying.postpone", 1),
    ],
    refused_then_delivered: [
        ("publishing._refused", 1), ("conflicting.begin", 1), ("conflicting._publish", 1),
        ("conflicting._record_decided", 1), ("cancelling.begin", 1),
        ("cancelling._record_failed", 1), ("committing._record_committed", 2),
    ],
}  # fmt: skip

#: In every run of the tests: the records that follow a step with money.
_SHORT = {
    "funding._record_funded", "committing._record_committed", "publishing._record_published",
    "settling._record_settling",
}  # fmt: skip


def _cases() -> Iterator[Any]:
    for way, records in RECORDS.items():
        for record, nth in records:
            for moment in Cut:
                marks = [] if record in _SHORT and nth == 1 else [pytest.mark.long]
                yield pytest.param(
                    way, record, nth, moment, marks=marks, id=f"{way.__name__}-{record}-{nth}-{moment.value}"
                )


@pytest.mark.parametrize(("way", "record", "nth", "moment"), list(_cases()))
def test_an_order_ends_right_whichever_record_loses_the_database(
    sale: Buyer, line: Line, way: Way, record: str, nth: int, moment: Cut
) -> None:
    line.plan(record, nth, moment)
    way(sale)
    assert line.unmet == []


@pytest.mark.long
@pytest.mark.parametrize("way", list(RECORDS), ids=lambda way: way.__name__)
def test_every_record_of_an_order_is_among_those_that_lose_the_database(sale: Buyer, line: Line, way: Way) -> None:
    way(sale)
    tried = {record for records in RECORDS.values() for record, _ in records}
    assert set(line.made) <= tried


@pytest.mark.parametrize("record", ["creating._claim_key", "creating._insert"])
@pytest.mark.parametrize("moment", list(Cut), ids=lambda moment: moment.value)
def test_an_order_sold_without_an_answer_is_delivered_to_who_asks_again_with_the_same_key(
    sale: Buyer, line: Line, record: str, moment: Cut
) -> None:
    line.plan(record, 1, moment)
    sale.key = str(uuid4())
    replies.delivered(sale)
    assert line.unmet == []
    assert ChannelOrder.objects.count() == 1


@contextmanager
def hanging_up(dice: random.Random) -> Iterator[None]:
    """PostgreSQL ends every connection, at moments that nobody chose, until the block is over."""
    over = threading.Event()

    def hang_up() -> None:
        with psycopg.connect(**standby.database(), autocommit=True) as other:
            while not over.wait(dice.uniform(0.005, 0.2)):
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    cutter = threading.Thread(target=hang_up)
    cutter.start()
    try:
        yield
    finally:
        over.set()
        cutter.join()
        close_old_connections()


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 60))])
def test_an_order_ends_right_however_often_the_database_hangs_up(sale: Buyer, seed: int) -> None:
    with hanging_up(random.Random(seed)):
        quote = sale.buy(tries=200)
        payment = sale.shop.network.buyer.pay(quote["ln_invoice"])
        for _ in range(15):
            with suppress(OperationalError):
                sale.shop.hurry(quote)
            sale.shop.turn()
            sale.shop.network.mine(1)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)
