"""What clients, staff and machines ask, of a database with few orders and of one with many: statements and time."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any, Final
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from lsp_site.running.embedded import EmbeddedPostgres, data_folder
from orders import keys
from orders.models import ChannelOrder, NodeSnapshot, OnchainPayment
from tests import factories
from tests.bench import rows
from tests.bench.page import table
from tests.bench.statements import Statement, noted
from tests.fakes import FakeNode
from watch.metrics.collector import Shop

Say = Callable[[str], None]

AT_REST: Final = (10_000, 1_000_000)
QUICK: Final = (1_000, 2_000)
_LIST: Final = "/admin/orders/channelorder/"
_RECORDS: Final = (
    *("channelopening", "entry", "flag", "holdinvoice", "onchainpayment", "orderevent", "refund"),
    "wallettransaction",
)
_IN_WORK: Final = ("paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "give_up")
_EACH_IN_WORK: Final = 20
_OVER: Final = timedelta(days=1_000)
_REPEATS: Final = 5


@dataclass(frozen=True)
class Asked:
    """One thing that was asked some times."""

    name: str
    statements: int
    seconds: float


@dataclass(frozen=True)
class Aged:
    """What was asked of a shop with so many orders at rest."""

    at_rest: int
    size_bytes: int
    asked: Sequence[Asked]


def measure(at_rest: Sequence[int], say: Say) -> list[Aged]:
    """Each number of orders in a database of its own."""
    return [_measured(count, say) for count in at_rest]


def _measured(count: int, say: Say) -> Aged:
    with _database(), patch("lightning.connection.node", FakeNode):
        say(f"{count:,} orders at rest")
        _fill(count)
        say("asking")
        asked = [_asked(name, ask) for name, ask in _questions()]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return Aged(count, cursor.fetchone()[0], asked)


@contextmanager
def _database() -> Iterator[None]:
    postgres = EmbeddedPostgres(settings.LSP_HOME, durable=False)  # filled sooner, and read as any other
    with (settings.LSP_HOME / "postgres.log").open("wb") as log:
        postgres.start(output=log)
    try:
        call_command("migrate", interactive=False, verbosity=0)
        yield
    finally:
        connection.close()
        postgres.stop()
        shutil.rmtree(data_folder(settings.LSP_HOME), ignore_errors=True)


def _fill(count: int) -> None:
    factories.SnapshotFactory()
    for trait in _IN_WORK:
        factories.OrderFactory.create_batch(_EACH_IN_WORK, **{trait: True})
    rows.fill(count, _OVER)
    rows.book()
    # As the rounds of the worker have come to by then; these never end because of the time that they take.
    call_command("rollups", "--rebuild", stdout=StringIO())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE orders_dayfigure, orders_orderearned, orders_moneyday, orders_staleorder")
    NodeSnapshot.objects.update(at=timezone.now())
    settings.READ_RATE = settings.CLAIM_RATE = settings.BUY_RATE = "1000000/min"


def _asked(name: str, ask: Callable[[], Any]) -> Asked:
    """The first time is for what is read from the disk and kept."""
    seen: list[Statement] = []
    with noted(seen):
        ask()
    seconds = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - begun)
    return Asked(name, len(seen), statistics.median(seconds))


def _questions() -> Iterator[tuple[str, Callable[[], Any]]]:
    buyer, boss = Client(SERVER_NAME="127.0.0.1"), Client(SERVER_NAME="127.0.0.1")
    boss.force_login(User.objects.create_superuser("boss"))
    order = ChannelOrder.objects.filter(state="closed", counted_payment="onchain").latest("created_at")
    for name, path in _read(order):
        yield name, lambda path=path: _page(buyer, path)
    for name, path in _looked_at(order):
        yield name, lambda path=path: _page(boss, path)
    yield "`/metrics`", lambda: list(Shop().collect())
    for command in (("figures", "--json"), ("orders", "--limit", "100"), ("order", str(order.pk)), ("prune",)):
        shown = "order ID" if command[0] == "order" else " ".join(command)
        yield f"`manage.py {shown}`", lambda command=command: call_command(*command, stdout=StringIO())


def _read(order: ChannelOrder) -> Iterator[tuple[str, str]]:
    for path in ("/node/info", "/api/lsps1/v1/get_info", "/.well-known/lsp.json", "/healthz"):
        yield f"`{path}`", path
    for path in ("/channel/order", "/api/lsps1/v1/get_order"):
        yield f"`{path}`", f"{path}?order_id={order.pk}"


def _looked_at(order: ChannelOrder) -> Iterator[tuple[str, str]]:
    deposit = OnchainPayment.objects.filter(order=order).earliest("seen_at")
    yield from ((f"first page, a {period}", f"/admin/?period={period}") for period in ("day", "month", "year"))
    yield "first page, ever", "/admin/?from=2009-01-03&to=2999-12-31"
    yield "what we earn", f"{_LIST}earnings/"
    yield "what we earn, ever", f"{_LIST}earnings/?from=2009-01-03&to=2999-12-31"
    yield "order", f"{_LIST}{keys.reference(order.pk)}/change/"
    yield "orders", _LIST
    yield "all orders", f"{_LIST}?all="
    yield "all orders, page 100", f"{_LIST}?all=&p=100"
    for filtered in ("state__exact=closed", "surprise=any", "lease=ended", "failing=any"):
        yield f"orders, `{filtered}`", f"{_LIST}?{filtered}"
    words = {
        "an id": order.pk,
        "the beginning of one": str(order.pk)[:8],
        "a node": order.node_pubkey,
        "the beginning of a node": order.node_pubkey[:20],
        "a txid": deposit.txid,
        "an address": order.deposit_address,
        "what is nowhere": "nowhere",
    }
    yield from ((f"orders, search for {what}", f"{_LIST}?q={word}") for what, word in words.items())
    for name in _RECORDS:
        yield f"list: {name}", f"/admin/orders/{name}/"
        yield f"list: {name}, page 100", f"/admin/orders/{name}/?p=100"
        yield f"list: {name}, search for a txid", f"/admin/orders/{name}/?q={deposit.txid}"


def _page(client: Client, path: str) -> None:
    answer = client.get(path)
    if answer.status_code not in {200, 302}:  # a list has no such page
        raise RuntimeError(f"{path} answered {answer.status_code}")


def page(measured: Sequence[Aged]) -> str:
    """The whole page."""
    few, many = measured
    head = ("asked", "statements", f"ms, {few.at_rest:,}", f"ms, {many.at_rest:,}")
    parts = [
        "# Large databases",
        "<!-- Written by `make bench SCALE=database` (python -m tests.bench --database). -->",
        _HOW,
        f"{many.at_rest:,} orders take {many.size_bytes / 1e9:.1f} GB.",
        table(head, [_line(one, other) for one, other in zip(few.asked, many.asked, strict=True)]),
    ]
    return "\n\n".join(parts) + "\n"


def _line(few: Asked, many: Asked) -> tuple[str, ...]:
    statements = str(many.statements) if few.statements == many.statements else f"{few.statements}, {many.statements}"
    return many.name, statements, f"{few.seconds * 1000:.0f}", f"{many.seconds * 1000:.0f}"


_HOW: Final = """\
Orders are kept for ever, with their journals, payments, transactions and books. Here is what clients, staff and
machines ask of a database with few and with many that are at rest, of a thousand days, beside a hundred and forty in
work: statements, and the server's own time (the median of five, after a first; no node is asked). Times are
those of one machine on one day. `make test` looks at what PostgreSQL reads for whatever is asked again and again
(`tests/integration/test_orders_at_rest.py`), `make test-long` at the statements for a hundred thousand."""
