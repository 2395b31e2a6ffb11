"""Many orders at rest, copied inside the database from a few that the tests' factories make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from orders.models import ChannelOpening, ChannelOrder, Flag, Reservation
from tests import factories

#: What makes a copy another row; `n` numbers the copies of one kind. All else is as in the template.
_ORDER = "md5(concat(%(kind)s::text, n))"
_ORDERS = {
    "id": f"{_ORDER}::uuid",
    "deposit_address": f"concat('at-rest-', {_ORDER})",
    "created_at": "first.created_at - n * interval '1 minute'",
}
_INVOICES = {"order_id": f"{_ORDER}::uuid", "payment_hash": f"concat({_ORDER}, md5({_ORDER}))"}
_FLAGS = {"order_id": f"{_ORDER}::uuid"}
_DEPOSITS = {"order_id": f"{_ORDER}::uuid", "txid": f"concat(md5({_ORDER}), {_ORDER})"}
_TRANSACTIONS = {"label": f"concat('funding:', {_ORDER}::uuid)", "txid": f"concat({_ORDER}, md5({_ORDER}))"}
_OPENINGS = {
    "order_id": f"{_ORDER}::uuid",
    "pending_chan_id": f"decode(concat({_ORDER}, md5({_ORDER})), 'hex')",
    "transaction_id": (
        f"(SELECT id FROM orders_wallettransaction AS funding WHERE funding.txid = concat({_ORDER}, md5({_ORDER})))"
    ),
}


def fill(at_rest: int) -> None:
    """The database has so many more orders that are over, with all that belongs to them, and knows their number.

    Inside a transaction too: then what was deleted before stays in its pages.
    """
    for percent, order in _templates():
        _copies(order, at_rest * percent // 100 - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE")


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


def _copies(order: Any, count: int) -> None:
    kind = str(order.pk)
    _copy(order, _ORDERS, kind, count)
    if order.invoice is not None:
        _copy(order.invoice, _INVOICES, kind, count)
    for deposit in order.onchain_payments.all():
        _copy(deposit, _DEPOSITS, kind, count)
    for flag in Flag.objects.filter(order=order):
        _copy(flag, _FLAGS, kind, count)
    for reservation in Reservation.objects.filter(order=order):
        _copy(reservation, _FLAGS, kind, count)
    for opening in ChannelOpening.objects.filter(order=order):
        if opening.transaction is not None:
            _copy(opening.transaction, _TRANSACTIONS, kind, count)
        _copy(opening, _OPENINGS, kind, count)


def _copy(
    template: models.Model,
    different: dict[str, str],
    kind: str,
    count: int,
) -> None:
    """The table has `count` more rows like this one, `different` excepted; numbers of rows are given by the table."""
    fields = [field for field in template._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = [str(field.column) for field in fields]
    values = [different.get(column, f'first."{column}"') for column in columns]
    table, key = template._meta.db_table, template._meta.pk.column
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)}'
            f' FROM "{table}" AS first, generate_series(1, %(count)s) AS n WHERE first."{key}" = %(pk)s',
            {"kind": kind, "count": count, "pk": template.pk},
        )


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
