"""Many orders at rest, copied inside the database from a few that the tests' factories make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, models, transaction
from django.utils import timezone

from orders.causes import Cause
from orders.models import ChannelOpening, ChannelOrder, Flag, OrderEvent, Reservation
from orders.states import OrderState
from tests import factories
from tests.booking import carry

#: What makes a copy another row; `n` numbers the copies of one kind. All else is as in the template.
_ORDER = "md5(concat(%(kind)s::text, n))"
_ORDERS = {
    "id": f"{_ORDER}::uuid",
    "deposit_address": f"concat('at-rest-', {_ORDER})",
    "node_pubkey": f"CASE WHEN first.node_pubkey = '' THEN '' ELSE concat('02', {_ORDER}, md5({_ORDER})) END",
}
_INVOICES = {"order_id": f"{_ORDER}::uuid", "payment_hash": f"concat({_ORDER}, md5({_ORDER}))"}
#: Whatever has nothing of its own but the order that it is of.
_OF_ORDER = {"order_id": f"{_ORDER}::uuid"}
_DEPOSITS = {"order_id": f"{_ORDER}::uuid", "txid": f"concat(md5({_ORDER}), {_ORDER})"}
_TRANSACTIONS = {"label": f"concat('funding:', {_ORDER}::uuid)", "txid": f"concat({_ORDER}, md5({_ORDER}))"}
_OPENINGS = {
    "order_id": f"{_ORDER}::uuid",
    "short_channel_id": "concat(n, 'x', abs(hashtext(%(kind)s)), 'x0')",
    "pending_chan_id": f"decode(concat({_ORDER}, md5({_ORDER})), 'hex')",
    "transaction_id": (
        f"(SELECT id FROM orders_wallettransaction AS funding WHERE funding.txid = concat({_ORDER}, md5({_ORDER})))"
    ),
}


#: One order of a kind is so much older than the next, where nothing else is said.
_APART: Final = timedelta(minutes=1)


def fill(at_rest: int, over: timedelta | None = None) -> None:
    """The database has so many more orders that are over, with all that belongs to them, and knows their number.

    They were made `over` such a time, evenly; or a minute apart from each other of their kind.
    Inside a transaction too: then what was deleted before stays in its pages.
    """
    for percent, order in _templates():
        _write_journal(order)
        count = at_rest * percent // 100 - 1
        with _unwatched():
            _copies(order, count, over / max(1, count) if over else _APART)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE")


@contextmanager
def _unwatched() -> Iterator[None]:
    """What the database asks of each row, and says of it, is known of its copies: that would take most of the time."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")


def _templates() -> Iterator[tuple[int, Any]]:
    """(so many of a hundred orders at rest, one such order)."""
    yield 40, _seen_to()
    # Deposits long ago: what a reorganisation could take back is compared with the node's wallet.
    yield 20, factories.OrderFactory(closed=True, counted_payment="onchain", deposits__block_height=10)
    yield 10, factories.OrderFactory(expired=True)
    yield 10, _double_spent()
    yield 20, factories.OrderFactory(refunded=True)


def _seen_to() -> Any:
    """An order that needed a person once."""
    order = factories.OrderFactory(closed=True)
    factories.FlagFactory(order=order, lowered_at=timezone.now(), lowered_by="lsp")
    return order


def _double_spent() -> Any:
    """An order whose deposit never came to be."""
    order = factories.OrderFactory(expired=True)
    factories.DepositFactory(order=order, vanished=True)
    return order


#: What led there: (cause, state).
_WAY: Final = (
    (Cause.QUOTED, OrderState.CREATED),
    (Cause.LIGHTNING_PAYMENT_HELD, OrderState.PAID),
    (Cause.CLAIMED, OrderState.URI_SET),
    (Cause.FUNDING_SIGNED, OrderState.OPENING),
    (Cause.CHANNEL_USABLE, OrderState.OPEN),
    (Cause.CHANNEL_CLOSING, OrderState.CLOSING),
    (Cause.CHANNEL_CLOSED, OrderState.CLOSED),
)
_ENDS: Final = {OrderState.EXPIRED: Cause.EXPIRED, OrderState.REFUNDED: Cause.NEVER_CLAIMED}


def _write_journal(order: Any) -> None:
    end = _ENDS.get(order.state)
    way = _WAY if end is None else (*_WAY[: order.version - 1], (end, order.state))
    before = ""
    for version, (cause, state) in enumerate(way, 1):
        OrderEvent.objects.create(
            order=order, version=version, at=order.created_at + timedelta(minutes=version), actor="lsp",
            cause=cause, from_state=before, to_state=state,
        )  # fmt: skip
        before = state


def _copies(order: Any, count: int, apart: timedelta) -> None:
    kind = _Kind(str(order.pk), count, apart)
    _copy(order, _ORDERS, kind)
    if order.invoice is not None:
        _copy(order.invoice, _INVOICES, kind)
    for deposit in order.onchain_payments.all():
        _copy(deposit, _DEPOSITS, kind)
    for table in (Flag, Reservation, OrderEvent):
        for row in table.objects.filter(order=order):
            _copy(row, _OF_ORDER, kind)
    for opening in ChannelOpening.objects.filter(order=order):
        if opening.transaction is not None:
            _copy(opening.transaction, _TRANSACTIONS, kind)
        _copy(opening, _OPENINGS, kind)


class _Kind(NamedTuple):
    """Orders that are copies of one, each so much older than the one before."""

    kind: str
    count: int
    apart: timedelta


def _copy(template: models.Model, different: dict[str, str], kind: _Kind) -> None:
    """The table has `count` more rows like this one, `different` excepted, each as much older as its order.

    Numbers of rows are given by the table.
    """
    fields = [field for field in template._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = [str(field.column) for field in fields]
    values = [different.get(str(field.column), _earlier(field)) for field in fields]
    table, key = template._meta.db_table, template._meta.pk.column
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)}'
            f' FROM "{table}" AS first, generate_series(1, %(count)s) AS n WHERE first."{key}" = %(pk)s',
            {**kind._asdict(), "pk": template.pk},
        )


def _earlier(field: Any) -> str:
    ago = " - n * %(apart)s::interval" if isinstance(field, models.DateTimeField) else ""
    return f'first."{field.column}"{ago}'


#: Of whichever transaction: nothing but their number matters.
_REFUNDS: Final = """
INSERT INTO orders_refund (order_id, state, amount_sat, ends_order, cause, detail, too_little, address, fee_sat,
                           transaction_id, created_at, refunded_at)
SELECT id, 'done', 1000, false, 'surplus', '', false, 'at-rest', 0,
       (SELECT min(id) FROM orders_wallettransaction), created_at, created_at FROM orders_channelorder
"""


def refund() -> None:
    """Every order has had something back on chain."""
    with _unwatched(), connection.cursor() as cursor:
        cursor.execute(_REFUNDS)


#: What was in channels that are closed is back.
_ENDED: Final = """
WITH closed AS (
    SELECT e.order_id, e.node_id, o.closed_at, sum(l.amount_msat) AS msat
      FROM orders_leg l JOIN orders_entry e ON e.id = l.entry_id JOIN orders_channelorder o ON o.id = e.order_id
     WHERE l.account = 'channels' AND o.closed_at IS NOT NULL GROUP BY 1, 2, 3
), made AS (
    INSERT INTO orders_entry (order_id, node_id, at, kind, reference, txid, words)
    SELECT order_id, node_id, closed_at, 'ended', concat('ended:', order_id), '', '' FROM closed RETURNING id, order_id
)
INSERT INTO orders_leg (entry_id, account, amount_msat)
SELECT made.id, leg.account, leg.msat FROM made JOIN closed USING (order_id)
 CROSS JOIN LATERAL (VALUES ('channels', -closed.msat), ('wallet', closed.msat)) AS leg (account, msat)
"""


def book() -> None:
    """All that was ever paid has its entries in the books, of the time at which it was; there are none yet."""
    with transaction.atomic(), connection.cursor() as cursor:
        # What the database asks of each entry is known of all: millions of times would take hours.
        cursor.execute("SET LOCAL session_replication_role = replica")
        carry("(SELECT coalesce(paid_at, created_at) FROM orders_channelorder AS sold WHERE sold.id = order_id)")
        # A database that takes them for none goes through all of them for each: a minute and a half for 4,000 orders.
        cursor.execute("ANALYZE orders_entry, orders_leg")
        cursor.execute(_ENDED)
    with connection.cursor() as cursor:
        cursor.execute(f"{'' if connection.in_atomic_block else 'VACUUM '}ANALYZE orders_entry, orders_leg")


def forget_unpaid() -> None:
    """The database has no unpaid order; the node still has what was made for them.

    The paid ones stay: a server whose node has channels that its database does not know sells nothing.
    """
    unpaid = "SELECT id FROM orders_channelorder WHERE state = 'created'"
    with transaction.atomic(), connection.cursor() as cursor:
        for related in ChannelOrder._meta.related_objects:
            table, column = related.related_model._meta.db_table, related.field.column
            cursor.execute(f'DELETE FROM "{table}" WHERE "{column}" IN ({unpaid})')
        cursor.execute("DELETE FROM orders_channelorder WHERE state = 'created'")
