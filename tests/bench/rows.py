"""Many orders at rest, copied inside the database from a few that the tests' factories make."""

from __future__ import annotations

from django.db import connection, models

from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, WalletTransaction
from tests import factories

#: Of a hundred orders at rest so many were delivered; half of the others expired, half were paid back.
CLOSED_IN_100 = 60

#: What makes a copy another row; `n` numbers the copies of one kind. All else is as in the template.
_ORDER = "md5(concat(%(kind)s::text, n))"
_ORDERS = {
    "id": f"{_ORDER}::uuid",
    "deposit_address": f"concat('at-rest-', {_ORDER})",
    "created_at": "first.created_at - n * interval '1 minute'",
}
_INVOICES = {"order_id": f"{_ORDER}::uuid", "payment_hash": f"concat({_ORDER}, md5({_ORDER}))"}
_TRANSACTIONS = {"label": f"concat('funding:', {_ORDER}::uuid)", "txid": f"concat({_ORDER}, md5({_ORDER}))"}
_OPENINGS = {
    "order_id": f"{_ORDER}::uuid",
    "pending_chan_id": f"decode(concat({_ORDER}, md5({_ORDER})), 'hex')",
    "transaction_id": (
        f"(SELECT id FROM orders_wallettransaction AS funding WHERE funding.txid = concat({_ORDER}, md5({_ORDER})))"
    ),
}


def fill(at_rest: int) -> None:
    """The database has `at_rest` more orders that are over, with their invoices and openings, and knows their number."""
    closed = at_rest * CLOSED_IN_100 // 100
    expired = (at_rest - closed) // 2
    _copies(factories.OrderFactory(closed=True), closed - 1)
    _copies(factories.OrderFactory(expired=True), expired - 1)
    _copies(factories.OrderFactory(refunded=True), at_rest - closed - expired - 1)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _copies(order: ChannelOrder, count: int) -> None:
    kind = str(order.pk)
    _copy(order, _ORDERS, kind, count)
    if order.invoice is not None:
        _copy(order.invoice, _INVOICES, kind, count)
    for opening in ChannelOpening.objects.filter(order=order):
        if opening.transaction is not None:
            _copy(opening.transaction, _TRANSACTIONS, kind, count)
        _copy(opening, _OPENINGS, kind, count)


def _copy(
    template: ChannelOrder | HoldInvoice | ChannelOpening | WalletTransaction,
    different: dict[str, str],
    kind: str,
    count: int,
) -> None:
    """The table has `count` more rows like this one, `different` excepted; numbers of rows are given by the table."""
    fields = [field for field in template._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = [str(field.column) for field in fields]
    values = [different.get(column, f'first."{column}"') for column in columns]
    table = template._meta.db_table
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)}'  # noqa: S608  names of our own columns
            f' FROM "{table}" AS first, generate_series(1, %(count)s) AS n WHERE first.{template._meta.pk.column} = %(pk)s',
            {"kind": kind, "count": count, "pk": template.pk},
        )
