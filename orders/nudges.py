"""A nudge says "look at this order", and carries no facts.

It commits, or not, with the transaction that gave the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orders.models import ChannelOrder
from orders.postgres.line import line
from orders.states import InvoiceState

#: The PostgreSQL channel that the streams process listens to.
CHANNEL = "orders"
#: And the one for orders that are new: their invoices are to be followed, and there is nothing to do yet.
NEW = "orders_new"
#: And for what a look at all of them finds, and finds again: it need not go before what somebody has just done.
FOUND = "orders_found"
_DUE_BY_INVOICE: Final = """
WITH hasty AS (SELECT set_config('synchronous_commit', 'off', true))
UPDATE orders_channelorder AS o SET due_at = %(now)s FROM hasty, orders_holdinvoice AS i
WHERE o.id = %(order)s AND i.order_id = o.id AND i.state = ANY(%(states)s)
"""


def nudge(order: ChannelOrder, channel: str = CHANNEL) -> None:
    """The order is due now. The caller holds its row and saves it."""
    order.due_at = timezone.now()
    notify(order.pk, channel)


def nudge_all(order_ids: Iterable[UUID], channel: str = CHANNEL) -> int:
    """Every one of these orders is due now; returns how many there are."""
    ids = list(order_ids)
    if not ids:
        return 0
    with transaction.atomic():
        orders = ChannelOrder.objects.filter(pk__in=ids)
        list(orders.order_by("pk").select_for_update().values_list("pk"))  # in one order: no two of us wait crosswise
        count = orders.update(due_at=timezone.now())
        for order_id in ids:
            notify(order_id, channel)
    return count


def due_by_invoice(order_id: UUID, states: Collection[InvoiceState]) -> bool:
    """The order is due now where by our records its invoice is in one of these states; whether it is.

    For who looks at it himself: nobody else hears of it, and he does not wait for the disk. What is lost with the
    database's machine is found by its next look at all. In no transaction of the caller's, which would not wait either.
    """
    given: dict[str, Any] = {"order": order_id, "states": [str(state) for state in states], "now": timezone.now()}
    with line().prepared() as cursor:
        cursor.execute(_DUE_BY_INVOICE, given)
        return int(cursor.rowcount) == 1


def notify(order_id: UUID, channel: str = CHANNEL) -> None:
    """Whoever listens hears of the order when this transaction commits."""
    with line().prepared() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, str(order_id)])
