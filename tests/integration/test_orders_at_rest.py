"""Orders that are over cost nothing: whatever is asked again and again finds what it wants by an index."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from lightning import types
from lightning.types import ChainTransaction, Invoice, Outpoint, PendingChannel
from orders import nudges, queries, reconcile, recovering
from orders.models import NodeSnapshot
from orders.operations import shutdown
from orders.states import InvoiceState, OrderState
from orders.templatetags import server_panel
from tests.bench import rows
from tests.bench.statements import GROWING, Statement, explained, noted, rows_read, scanned
from tests.factories import DepositFactory, OrderFactory, pubkey, txid
from tests.fakes import FakeNode
from tests.integration.conftest import BODY, KEY, Api
from tests.integration.lsps1 import Wallet
from tests.integration.test_api_finalise import finalise
from watch import alerting
from watch.doctor import examination

pytestmark = pytest.mark.django_db

AT_REST = 5_000
#: More than are in work, and fewer than the rarest kind of those at rest has.
MANY = 50
#: Each spares some statement the orders at rest.
INDEXES = (
    "order_oldest",
    "order_due",
    "order_state",
    "onchain_payment_there",
    "invoice_unfinished",
    "order_flagged",
    "flag_stands_once",
)


class QuietNode(FakeNode):
    """A node on which nothing happens. It has one invoice, of an order that nobody knows."""

    def transactions(self, *, from_height: int) -> tuple[ChainTransaction, ...]:
        return ()

    def pending_invoices(self, *, after_add_index: int) -> tuple[Invoice, ...]:
        return (Invoice("ab" * 32, "lnbcrt", f"order {uuid4()}", 1000, types.NodeInvoiceState.OPEN, 1),)

    def pending_channels(self, *, seconds: float = 0) -> tuple[PendingChannel, ...]:
        return ()


@pytest.fixture
def asked(snapshot: NodeSnapshot) -> list[Statement]:
    """What a minute of the server asks of a database with a few orders in work and thousands at rest."""
    for trait in ("paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "give_up"):
        OrderFactory(**{trait: True})
    DepositFactory(order=OrderFactory(), unconfirmed=True)
    rows.fill(AT_REST)
    with connection.cursor() as cursor:
        # However small a table is here: it is read whole only where no index would do.
        cursor.execute("SET LOCAL enable_seqscan = off")
    seen: list[Statement] = []
    with noted(seen):
        recovering.pause_if_behind(QuietNode())
        reconcile.new_block(QuietNode())
        shutdown.end_undone()
        by_the_streams()
        queries.stock(snapshot, "somebody")
        _by_those_who_watch()
    return seen


def by_the_streams() -> None:
    now = timezone.now()
    queries.due_ids(now)
    queries.next_due_at(after=now)
    queries.is_due(uuid4(), now)
    queries.open_invoices()
    queries.open_invoices([uuid4()])
    nudges.due_by_invoice(uuid4(), [InvoiceState.OPEN])
    queries.openings_under_way(now)
    queries.peer_is_taken(pubkey(1))
    queries.waiting_for_peer(pubkey(1), reason="PEER_NOT_REACHABLE")
    queries.orders_of_channel(Outpoint(txid("nobody's"), 0), [OrderState.OPENING])


def _by_those_who_watch() -> None:
    alerting._flagged()
    list(examination._rows(timezone.now()))
    server_panel._orders()


def too_much(asked: Iterable[Statement]) -> list[str]:
    """The statements that look at many rows of a table which grows with every order."""
    return [statement.sql for statement in asked if max(rows_read([statement]).values(), default=0) > MANY]


def test_nothing_that_is_asked_again_and_again_reads_the_orders_at_rest(asked: list[Statement]) -> None:
    assert len(asked) > 20
    assert too_much(asked) == []


def by_clients(api: Api) -> list[Statement]:
    """What each thing that a client can ask makes the database do."""
    paid, unpaid, closed = OrderFactory(paid_lightning=True), OrderFactory(), OrderFactory(closed=True)
    keyed = {"Idempotency-Key": KEY}
    seen: list[Statement] = []
    with noted(seen):
        answers = [
            api.get("/node/info"),
            api.post("/channel/estimate", BODY),
            api.buy(),
            api.buy(keyed),
            api.buy(keyed),
            *(api.get("/channel/order", {"order_id": str(order.pk)}) for order in (paid, unpaid, closed)),
            api.get("/lnurl/channel", {"order_id": str(paid.pk)}),
            finalise(api, paid, pubkey(5)),
            api.get("/api/lsps1/v1/get_info"),
            Wallet().create_order(),
            Wallet().get_order(closed.pk),
            api.get("/healthz"),
        ]
    assert {answer.status_code for answer in answers} == {200}, [answer.said for answer in answers]
    return seen


def test_nothing_that_a_client_asks_reads_the_orders_at_rest(api: Api) -> None:
    rows.fill(AT_REST)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    seen = by_clients(api)
    assert len(seen) > 40
    assert too_much(seen) == []


def read_whole(sql: str) -> set[str]:
    """The growing tables that a plan reads whole which is made for whatever is given."""
    names: dict[str, int] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.setdefault(found[1], len(names) + 1)}", sql)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    return GROWING & set(scanned(explained(Statement(numbered, None), "GENERIC_PLAN")))


def test_nor_does_a_plan_that_is_made_once_for_whoever_buys() -> None:
    """PostgreSQL may keep one plan for all that a prepared statement is given: it knows no client then."""
    assert read_whole(queries.STOCK) == set()


def test_control_a_plan_for_one_client_alone_would() -> None:
    """His index is of those that have one, and of an unknown client nobody knows that."""
    assert read_whole(queries.STOCK.replace("AND w.client_hash <> ''", "")) == {"orders_reservation"}


def test_control_without_any_of_the_indexes_it_does(asked: list[Statement]) -> None:
    missed = []
    for index in INDEXES:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX {index}")
            if not too_much(asked):
                missed.append(index)
            transaction.set_rollback(True)
    assert missed == []
