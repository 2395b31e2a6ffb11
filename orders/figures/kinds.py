"""What is counted by day: of each kind one statement, for days that are kept and for those that are counted anew.

A day's row has words (what is told apart) and sums. `{at}` is the slot that a moment is in, and `{within}` which
moments are asked for: so what is kept and what is counted now cannot mean two things.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orders import queries
from orders.figures.asking import CAUSES, OTHER_CAUSE, OTHER_REASON, REASONS, words
from orders.figures.waiting import CELLS, SECONDS
from orders.states import OrderState

_S = OrderState
#: Nothing follows by itself but that money goes back.
OVER: Final = (_S.EXPIRED, _S.REJECTED, _S.REFUNDED, _S.GIVE_UP, _S.CLOSED, _S.CLOSING)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: the statement, the moment that a row belongs to, and what the statement is given."""

    name: str
    moment: str
    counted: str
    sums: int
    given: Mapping[str, Any] = field(default_factory=dict)


_CAPACITY: Final = "lsp_balance_sat + client_balance_sat"
_SOLD: Final = "FILTER (WHERE opened_at IS NOT NULL)"

STATES: Final = Kind(
    "states",
    "created_at",
    f"""
SELECT {{at}} AS at, ARRAY[state::text] AS words, ARRAY[count(*), sum({_CAPACITY})]::bigint[] AS sums
  FROM orders_channelorder WHERE {{within}} GROUP BY 1, 2
""",  # noqa: S608  our own words only
    2,
)

#: Why: the word that buyers were told; else what ended the order by its journal, or sent its deposits back.
FUNNEL: Final = Kind(
    "funnel",
    "created_at",
    f"""
SELECT at, ARRAY[reached, CASE WHEN is_lost THEN 'lost' ELSE '' END,
             CASE WHEN reason = ANY(%(reasons)s) THEN reason
                  WHEN reason <> '' THEN %(other_reason)s
                  WHEN NOT is_lost THEN ''
                  WHEN cause = ANY(%(causes)s) THEN cause
                  ELSE %(other_cause)s END] AS words,
       ARRAY[count(*), sum(capacity_sat)]::bigint[] AS sums
  FROM (
    SELECT at, reached, is_lost, capacity_sat,
           CASE WHEN reached = 'open' THEN ''
                WHEN is_lost THEN give_up_reason
                WHEN state = 'uri_set' THEN last_failure_reason
                ELSE '' END AS reason,
           (SELECT CASE WHEN e.cause = 'refund_mined' THEN (
                       SELECT r.cause FROM orders_refund r
                       WHERE r.order_id = quoted.id AND r.ends_order ORDER BY r.id DESC LIMIT 1)
                   ELSE e.cause END
              FROM orders_orderevent e
             WHERE is_lost AND give_up_reason = '' AND e.order_id = quoted.id
               AND e.to_state = ANY(%(over)s) AND e.from_state <> ALL(%(over)s)
             ORDER BY e.version DESC LIMIT 1) AS cause
      FROM (
        SELECT id, {{at}} AS at, state, give_up_reason, last_failure_reason, {_CAPACITY} AS capacity_sat,
               CASE WHEN opened_at IS NOT NULL THEN 'open'
                    WHEN paid_at IS NULL THEN 'quoted'
                    WHEN claimed_at IS NULL THEN 'paid'
                    ELSE 'claimed' END AS reached,
               opened_at IS NULL AND state = ANY(%(over)s) AS is_lost
          FROM orders_channelorder WHERE {{within}}
      ) AS quoted
     OFFSET 0  -- explained once for each order, however often its reason is named above
  ) AS explained GROUP BY 1, 2
""",  # noqa: S608  our own words only
    2,
    {
        "over": words(OVER),
        "reasons": list(REASONS),
        "other_reason": OTHER_REASON,
        "causes": list(CAUSES),
        "other_cause": OTHER_CAUSE,
    },
)

_ASKED: Final = f"""
ARRAY[count(*), count(*) FILTER (WHERE paid_at IS NOT NULL), count(*) {_SOLD},
      coalesce(sum({_CAPACITY}) {_SOLD}, 0), coalesce(sum(fee_total_sat) {_SOLD}, 0)]::bigint[]
"""
DOORS: Final = Kind(
    "doors",
    "created_at",
    f"""
SELECT {{at}} AS at, ARRAY[door::text] AS words, {_ASKED} AS sums
  FROM orders_channelorder WHERE {{within}} GROUP BY 1, 2
""",  # noqa: S608  our own words only
    5,
)
WALLETS: Final = Kind(
    "wallets",
    "created_at",
    f"""
SELECT {{at}} AS at, ARRAY[token::text] AS words, {_ASKED} AS sums
  FROM orders_channelorder WHERE {{within}} AND coupon_id IS NULL AND token <> '' GROUP BY 1, 2
""",  # noqa: S608  our own words only
    5,
)
COUPONS: Final = Kind(
    "coupons",
    "created_at",
    f"""
SELECT {{at}} AS at, ARRAY[coupon_id::text] AS words,
       ARRAY[count(*), count(*) FILTER (WHERE state = ANY(%(used)s)), count(*) {_SOLD},
             coalesce(sum({_CAPACITY}) {_SOLD}, 0), coalesce(sum(fee_total_sat) {_SOLD}, 0),
             coalesce(sum(discount_sat) {_SOLD}, 0)]::bigint[] AS sums
  FROM orders_channelorder WHERE {{within}} AND coupon_id IS NOT NULL GROUP BY 1, 2
""",  # noqa: S608  our own words only
    6,
    {"used": words(queries.COUPON_USED)},
)
PAID: Final = Kind(
    "paid",
    "paid_at",
    """
SELECT {at} AS at, ARRAY[]::text[] AS words, ARRAY[count(*), sum(order_total_sat)]::bigint[] AS sums
  FROM orders_channelorder WHERE {within} GROUP BY 1
""",
    2,
)
#: By how long the buyer waited, for halves and the like; what nobody paid for has no such word.
OPENED: Final = Kind(
    "opened",
    "opened_at",
    f"""
SELECT at, CASE WHEN seconds IS NULL THEN ARRAY[]::text[]
                ELSE ARRAY[(%(cells)s::bigint[])[width_bucket(seconds, %(cells)s::bigint[])]::text] END AS words,
       ARRAY[count(*), sum(capacity_sat), sum(fee_total_sat), coalesce(sum(seconds), 0)]::bigint[] AS sums
  FROM (SELECT {{at}} AS at, {SECONDS} AS seconds, {_CAPACITY} AS capacity_sat, fee_total_sat
          FROM orders_channelorder WHERE {{within}}) AS each
 GROUP BY 1, 2
""",  # noqa: S608  our own words only
    4,
    {"cells": list(CELLS)},
)
CLOSED: Final = Kind(
    "closed",
    "closed_at",
    f"""
SELECT {{at}} AS at, ARRAY[coalesce(a.close_type, '')::text] AS words,
       ARRAY[count(*),
             count(*) FILTER (WHERE coalesce(a.close_height < lease_ends_height, closed_at < lease_ends_at)),
             sum({_CAPACITY})]::bigint[] AS sums
  FROM orders_channelorder
  LEFT JOIN LATERAL (
      SELECT close_type, close_height FROM orders_channelopening
       WHERE order_id = orders_channelorder.id AND close_type <> '' ORDER BY attempt DESC LIMIT 1
  ) AS a ON true
 WHERE {{within}} GROUP BY 1, 2
""",  # noqa: S608  our own words only
    3,
)
TRIED: Final = Kind(
    "tried",
    "created_at",
    """
SELECT {at} AS at, ARRAY[state::text, CASE WHEN state <> 'failed' THEN ''
                                           WHEN failure_reason = ANY(%(reasons)s) THEN failure_reason
                                           ELSE %(other_reason)s END] AS words,
       ARRAY[count(*)]::bigint[] AS sums
  FROM orders_channelopening WHERE {within} GROUP BY 1, 2
""",
    1,
    {"reasons": list(REASONS), "other_reason": OTHER_REASON},
)
REFUNDS: Final = Kind(
    "refunds",
    "created_at",
    """
SELECT {at} AS at, ARRAY[state::text] AS words, ARRAY[count(*), sum(amount_sat), sum(fee_sat)]::bigint[] AS sums
  FROM orders_refund WHERE {within} GROUP BY 1, 2
""",
    3,
)
KINDS: Final = (STATES, FUNNEL, DOORS, WALLETS, COUPONS, PAID, OPENED, CLOSED, TRIED, REFUNDS)

#: What is kept counts only while it was made by these very statements: others make it anew.
MEANING: Final = hashlib.sha256(
    json.dumps([[each.name, each.moment, each.counted, dict(each.given)] for each in KINDS]).encode()
).hexdigest()
