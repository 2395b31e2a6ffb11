"""What is reserved, as it is added up: triggers write each change, in the transaction of whatever changes it."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from orders.models import Reserved
from orders.states import RESERVING

log = logging.getLogger(__name__)

#: So many changes of what is reserved are added up in no time; each sale reads them.
_FEW: Final = 200
_FOLD: Final = """
WITH gone AS (
    DELETE FROM orders_reserved
     WHERE id IN (SELECT id FROM orders_reserved ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED)
    RETURNING firmness, value_sat, orders
)
INSERT INTO orders_reserved (firmness, value_sat, orders)
SELECT firmness, sum(value_sat), sum(orders) FROM gone
GROUP BY firmness HAVING sum(value_sat) <> 0 OR sum(orders) <> 0
"""


_ANEW: Final = """
LOCK TABLE orders_reservation, orders_reserved IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM orders_reserved;
INSERT INTO orders_reserved (firmness, value_sat, orders)
SELECT firmness, sum(value_sat), count(*) FROM orders_reservation
WHERE released_at IS NULL AND gives_way_at IS NULL AND leased_at IS NULL GROUP BY firmness
"""


def fold(changes: int | None = None) -> None:
    """What is reserved is told in few rows, where so many changes (those that there are) have come together.

    Whoever reads meanwhile sees all that is folded, or what it was folded into. Repeat: safe, beside itself too.
    """
    if (Reserved.objects.count() if changes is None else changes) > _FEW:
        with connection.cursor() as cursor:
            cursor.execute(_FOLD)


def mend_sums() -> None:
    """Where what is reserved is added up wrongly it is anew. It never is, but for a defect of ours. Repeat: safe."""
    if wrong := sums_astray():
        log.error("what is reserved was added up wrongly (%s), and is anew", ", ".join(wrong))
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_ANEW)


#: A reservation for each order that needs one, of its own value; and none for any other.
_ASTRAY: Final = """
SELECT o.id FROM orders_channelorder o LEFT JOIN orders_reservation r ON r.order_id = o.id
WHERE o.state = ANY(%(states)s) AND (r.released_at IS NOT NULL OR r.order_id IS NULL
      OR r.value_sat <> o.lsp_balance_sat + o.client_balance_sat + o.open_fee_sat + coalesce(
          (SELECT sum(a.surplus_sat) FROM orders_channelopening a WHERE a.order_id = o.id AND a.state <> 'failed'), 0))
UNION ALL
SELECT o.id FROM orders_reservation r JOIN orders_channelorder o ON o.id = r.order_id
WHERE r.released_at IS NULL AND NOT o.state = ANY(%(states)s)
"""


def reservations_astray() -> list[UUID]:
    """The orders whose reservation is not what they hold. There is none, but for a defect of ours."""
    with connection.cursor() as cursor:
        cursor.execute(_ASTRAY, {"states": [str(state) for state in RESERVING]})
        return [row[0] for row in cursor.fetchall()]


#: What is reserved by the sum of its changes, and by the reservations themselves.
_SUMS_ASTRAY: Final = """
SELECT firmness FROM (
    SELECT firmness, value_sat, orders FROM orders_reserved
    UNION ALL
    SELECT firmness, -value_sat, -1 FROM orders_reservation
     WHERE released_at IS NULL AND gives_way_at IS NULL AND leased_at IS NULL
) AS both_ways
GROUP BY firmness HAVING sum(value_sat) <> 0 OR sum(orders) <> 0
"""


def sums_astray() -> list[str]:
    """How firm what is that is added up wrongly. There is none, but for a defect of ours."""
    with connection.cursor() as cursor:
        cursor.execute(_SUMS_ASTRAY)
        return sorted(row[0] for row in cursor.fetchall())
