"""What the database is asked most often finds its rows by an index, among thousands of orders that are over.

Each operation's statements are those of the table of costs, executed once more. PostgreSQL reads a small table whole
whatever there is, so it is told not to: it does so then only where no index would do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from orders.models import ChannelOrder
from tests.bench import operations, rows
from tests.bench.statements import GROWING, Statement, explained, looked_at, noted, scanned
from tests.integration.test_hundred_thousand import pages
from tests.integration.test_orders_at_rest import by_the_streams
from tests.simulator.chain_fees import FeeShop
from tests.simulator.test_costs import SELDOM, shop

__all__ = ["shop"]

pytestmark = pytest.mark.django_db(transaction=True)

AT_REST: Final = 2_000
#: Fewer than the rarest kind of those at rest has.
MANY: Final = 50
MOST: Final = 20
#: In an hour of a shop that sells an order each minute; each operation is done twice for it in what is noted.
OFTEN: Final = {"read an order": 1_200, "block": 6}
EACH_MINUTE: Final = 60
EACH_TURN: Final = 600
BY_STAFF: Final = 2
#: Each spares one of the most frequent statements what is at rest.
INDEXES: Final = (
    "order_due",
    "invoice_unfinished",
    "onchain_payment_there",
    "refund_owed",
    "transaction_shaping",
)


class Asked(NamedTuple):
    """One statement, how often it is asked in that hour, and by what."""

    times: int
    by: str
    statement: Statement


@pytest.fixture
def asked(shop: FeeShop) -> list[Asked]:
    """What a shop asks its database, which has many orders at rest by now."""
    costs = [cost for cost in operations.costs(shop) if cost.operation not in SELDOM]
    rows.fill(AT_REST)
    rows.refund()
    by_operations = [(_times(cost.operation), cost.operation, each) for cost in costs for each in cost.statements]
    return _merged([*by_operations, *_by_the_streams(), *_by_staff(), *_by_wallets()])


def _times(operation: str) -> int:
    return next((times for name, times in OFTEN.items() if operation.startswith(name)), EACH_MINUTE)


def _by_the_streams() -> Iterator[tuple[int, str, Statement]]:
    """What that process asks at each of its turns."""
    seen: list[Statement] = []
    with noted(seen):
        by_the_streams()
    yield from ((EACH_TURN, "streams", each) for each in seen)


def _by_staff() -> Iterator[tuple[int, str, Statement]]:
    """Lists, searches, figures, and an order's page. The first look notes that somebody is there."""
    client, order = Client(), ChannelOrder.objects.filter(state="open").earliest("created_at")
    client.force_login(User.objects.create_superuser("alice"))
    client.get("/admin/")
    for path in pages(order):
        yield from _answered(client, path, BY_STAFF)


def _by_wallets() -> Iterator[tuple[int, str, Statement]]:
    order = ChannelOrder.objects.filter(state="open").earliest("created_at")
    for path in ("/node/info", f"/channel/order?order_id={order.pk}", "/api/lsps1/v1/get_info", "/healthz"):
        yield from _answered(Client(), path, OFTEN["read an order"])


def _answered(client: Client, path: str, times: int) -> Iterator[tuple[int, str, Statement]]:
    seen: list[Statement] = []
    with noted(seen):
        answer = client.get(path)
    assert answer.status_code == 200, (path, answer.content)
    yield from ((times, path, each) for each in seen if not each.sql.startswith("EXPLAIN"))


def _merged(asked: Sequence[tuple[int, str, Statement]]) -> list[Asked]:
    """Each statement once, the most frequent first: whatever was given to it, and however much."""
    times: Counter[str] = Counter()
    first: dict[str, Asked] = {}
    for often, by, statement in asked:
        shape = re.sub(r"%s(, %s)+", "%s, …", statement.sql)
        times[shape] += often
        first.setdefault(shape, Asked(0, by, statement))
    return [first[shape]._replace(times=often) for shape, often in times.most_common()]


def _most_frequent(asked: Sequence[Asked]) -> list[Asked]:
    """Of those that look at a table which grows with every order. What only adds to one looks at nothing."""
    looks = [each for each in asked if _can_be_explained(each) and GROWING & _tables(each.statement)]
    return looks[:MOST]


def _can_be_explained(asked: Asked) -> bool:
    return bool(re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", asked.statement.sql)) and "$1" not in asked.statement.sql


def _tables(statement: Statement) -> set[str]:
    return set(re.findall(r"orders_\w+", statement.sql))


def _read_much(asked: Sequence[Asked]) -> list[str]:
    """Those that look at many rows of a growing table when they are executed once more, which is then undone."""
    found = []
    for each in asked:
        with transaction.atomic():
            read = Counter[str]()
            for table, count in looked_at(explained(each.statement, "ANALYZE")):
                read[table] += count
            transaction.set_rollback(True)
        found += [f"{each.by}: {table} {read[table]}: {each.statement.sql}" for table in GROWING if read[table] > MANY]
    return found


def _read_whole(asked: Sequence[Asked]) -> list[str]:
    """Those that read a growing table from end to end, for want of an index."""
    return [
        f"{each.by}: {tables}: {each.statement.sql}"
        for each in asked
        if _can_be_explained(each) and (tables := GROWING & set(scanned(explained(each.statement))))
    ]


@pytest.fixture
def no_table_is_small(asked: list[Asked]) -> Iterator[Any]:
    """None is read whole but for want of an index."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        yield cursor


def test_the_most_frequent_statements_find_their_rows_by_an_index_and_without_it_do_not(
    asked: list[Asked], no_table_is_small: Any
) -> None:
    frequent = _most_frequent(asked)
    assert len(frequent) == MOST and frequent[-1].times >= EACH_MINUTE
    assert _read_much(frequent) == []
    assert _read_whole(asked) == []
    assert [index for index in INDEXES if not _is_missed(index, frequent, no_table_is_small)] == []


def _is_missed(index: str, frequent: Sequence[Asked], cursor: Any) -> bool:
    with transaction.atomic():
        cursor.execute(f"DROP INDEX {index}")
        missed = bool(_read_much(frequent))
        transaction.set_rollback(True)
    return missed
