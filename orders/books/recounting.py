"""What the books should have, reckoned anew from the rows of payments, deposits, openings, refunds and transactions.

Another reckoning than the one that posts: in SQL, of all orders at once, so that neither hides a fault of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from orders.models import FOUND_KINDS, Account, EntryKind

_SAID: Final = """
WITH paid AS (
    SELECT o.id AS order_id, o.counted_payment AS rail,
           CASE WHEN o.counted_payment = 'lightning' AND i.state = 'settled' AND i.payment_request = ''
                THEN greatest(0, o.fee_total_sat - greatest(0, o.order_total_sat - i.held_sat))
                ELSE o.fee_total_sat END AS fee,
           i.state, coalesce(i.held_sat, 0) AS held, i.held_at,
           CASE o.counted_payment WHEN 'lightning' THEN greatest(0, i.held_sat - o.order_total_sat) ELSE 0 END AS beyond
      FROM orders_channelorder o LEFT JOIN orders_holdinvoice i ON i.order_id = o.id
), delivered AS (
    SELECT p.*, a.capacity_sat AS capacity, a.push_sat AS push,
           CASE rail WHEN 'lightning' THEN a.surplus_sat ELSE 0 END AS added
      FROM orders_channelopening a JOIN paid p USING (order_id) WHERE a.state IN ('published', 'confirmed')
), said (order_id, account, sat) AS (
    SELECT order_id, 'lightning', held FROM paid WHERE state IN ('held', 'returning', 'settled')
    UNION ALL SELECT order_id, 'buyers_held', -held FROM paid WHERE state IN ('held', 'returning')
    UNION ALL SELECT order_id, 'buyers_held', beyond - held FROM paid WHERE state = 'settled'
    UNION ALL SELECT order_id, 'buyers_onchain', -beyond FROM paid WHERE state = 'settled'
    UNION ALL SELECT order_id, 'refunded', -held FROM paid WHERE state = 'cancelled' AND held_at IS NOT NULL
    UNION ALL SELECT order_id, 'given', held FROM paid WHERE state = 'cancelled' AND held_at IS NOT NULL

    UNION ALL SELECT order_id, 'wallet', amount_sat FROM orders_onchainpayment WHERE state = 'confirmed'
    UNION ALL SELECT order_id, 'buyers_onchain', -amount_sat FROM orders_onchainpayment WHERE state = 'confirmed'

    UNION ALL SELECT order_id, 'wallet', -capacity FROM delivered
    UNION ALL SELECT order_id, 'channels', capacity - push FROM delivered
    UNION ALL SELECT order_id, 'given', push FROM delivered
    UNION ALL SELECT order_id, 'buyers_onchain', fee + push FROM delivered WHERE rail = 'onchain'
    UNION ALL SELECT order_id, 'buyers_held', fee + push - added FROM delivered
               WHERE rail = 'lightning' AND state = 'settled'
    UNION ALL SELECT order_id, 'buyers_onchain', added FROM delivered WHERE rail = 'lightning' AND state = 'settled'
    UNION ALL SELECT order_id, 'delivered', -push FROM delivered
               WHERE rail = 'onchain' OR (rail = 'lightning' AND state = 'settled')
    UNION ALL SELECT order_id, 'fees_earned', -fee FROM delivered
               WHERE rail = 'onchain' OR (rail = 'lightning' AND state = 'settled')
    UNION ALL SELECT order_id, 'losses', push FROM delivered WHERE rail = 'lightning' AND state = 'cancelled'
    UNION ALL SELECT order_id, 'given', -push FROM delivered WHERE rail = 'lightning' AND state = 'cancelled'

    UNION ALL SELECT order_id, CASE cause WHEN 'not_delivered' THEN 'buyers_held' WHEN 'closed_unused' THEN 'losses'
                                          WHEN 'closed_early' THEN 'losses' ELSE 'buyers_onchain' END, amount_sat
                FROM orders_refund WHERE state NOT IN ('withdrawn', 'proposed')
    UNION ALL SELECT order_id, 'kept', -amount_sat FROM orders_refund WHERE state = 'kept'
    UNION ALL SELECT order_id, 'refunds_under_way', -amount_sat FROM orders_refund
               WHERE state IN ('due', 'signed', 'published', 'done') AND refunded_at IS NULL
    UNION ALL SELECT order_id, 'refunded', -amount_sat FROM orders_refund WHERE refunded_at IS NOT NULL
    UNION ALL SELECT order_id, 'wallet', -amount_sat FROM orders_refund WHERE refunded_at IS NOT NULL
    UNION ALL SELECT order_id, 'given', amount_sat - fee_sat FROM orders_refund WHERE refunded_at IS NOT NULL
    UNION ALL SELECT order_id, 'chain_fees', fee_sat FROM orders_refund WHERE refunded_at IS NOT NULL

    UNION ALL SELECT fee.order_id, leg.account, leg.sat
      FROM (SELECT t.fee_sat, CASE WHEN t.kind IN ('funding', 'conflict') AND t.label ~ '^[a-z]+:[0-9a-f-]{36}$'
                                   THEN split_part(t.label, ':', 2)::uuid END
              FROM orders_wallettransaction t
             WHERE (t.kind = 'funding' AND t.state IN ('published', 'deep'))
                OR (t.kind IN ('conflict', 'split', 'consolidation') AND t.state = 'deep')) AS fee (fee_sat, order_id)
      CROSS JOIN LATERAL (VALUES ('wallet', -fee_sat), ('chain_fees', fee_sat)) AS leg (account, sat)
)
"""
_DIFFERENCES: Final = "\n".join(
    (
        _SAID,
        """
SELECT order_id, account, (sum(said_msat))::bigint, (sum(booked_msat))::bigint, count(*) OVER ()
  FROM (SELECT order_id, account, sat * 1000 AS said_msat, 0 AS booked_msat FROM said
        UNION ALL
        SELECT e.order_id, l.account, CASE WHEN e.kind = %(by_hand)s THEN l.amount_msat ELSE 0 END, l.amount_msat
          FROM orders_leg l JOIN orders_entry e ON e.id = l.entry_id WHERE e.kind <> ALL(%(found)s)) AS both_sides
 GROUP BY order_id, account HAVING sum(said_msat) <> sum(booked_msat)
 ORDER BY order_id, account LIMIT %(most)s
""",
    )
)
_BALANCES: Final = "SELECT account, sum(amount_msat)::bigint FROM orders_leg GROUP BY account"
#: Delivered, and what paid for it is gone from the chain (and not on its way to a block): the buyer owes it.
_UNCOVERED: Final = """
SELECT e.order_id, sum(l.amount_msat)::bigint
  FROM orders_leg l JOIN orders_entry e ON e.id = l.entry_id
 WHERE l.account IN ('buyers_held', 'buyers_onchain', 'refunds_under_way', 'kept')
   AND NOT EXISTS (SELECT 1 FROM orders_credit c WHERE c.order_id = e.order_id AND c.ended_at IS NULL)
 GROUP BY e.order_id HAVING sum(l.amount_msat) > 0 ORDER BY 2 DESC LIMIT %(most)s
"""
_UNBALANCED: Final = """
SELECT e.reference, sum(l.amount_msat)::bigint FROM orders_entry e LEFT JOIN orders_leg l ON l.entry_id = e.id
 GROUP BY e.id HAVING coalesce(sum(l.amount_msat), 1) <> 0 LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """An account of an order has another balance than the rows say."""

    #: None: of no order.
    order_id: UUID | None
    account: str
    said_msat: int
    booked_msat: int

    @property
    def by_msat(self) -> int:
        """How much the books have too much."""
        return self.booked_msat - self.said_msat


def differences(most: int = 100) -> tuple[list[Difference], int]:
    """Where the books are not as the rows say, and how many such places there are. One statement for all orders."""
    found = [kind.value for kind in FOUND_KINDS]
    rows = _select(_DIFFERENCES, {"by_hand": EntryKind.BY_HAND.value, "found": found, "most": most})
    return [Difference(*row[:4]) for row in rows], rows[0][4] if rows else 0


def unbalanced(most: int = 100) -> list[tuple[str, int | None]]:
    """Entries that do not add up. There is none, while the database's own guards stand."""
    return [(reference, msat) for reference, msat in _select(_UNBALANCED, {"most": most})]


def uncovered(most: int = 100) -> list[tuple[UUID | None, int]]:
    """Orders of which more was delivered or sent back than has come: a loss, with a name, and how much (msat)."""
    return [(order_id, msat) for order_id, msat in _select(_UNCOVERED, {"most": most})]


def balances() -> dict[Account, int]:
    """What each account has, in millisatoshis; a debit is positive."""
    found = dict(_select(_BALANCES, {}))
    return {account: found.get(account.value, 0) for account in Account}


def booked_by_transaction() -> dict[str, int]:
    """What the books have of each transaction that moved coins of the wallet, in satoshis."""
    rows = _select(
        "SELECT e.txid, sum(l.amount_msat)::bigint / 1000 FROM orders_leg l JOIN orders_entry e ON e.id = l.entry_id"
        " WHERE l.account = 'wallet' GROUP BY e.txid",
        {},
    )
    return dict(rows)


def _select(statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
