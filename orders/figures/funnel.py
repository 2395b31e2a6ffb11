"""Of those who were told a price, who paid, named a node and got a channel; who did not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orders.figures.asking import CAUSES, OTHER_CAUSE, OTHER_REASON, REASONS, rows, words
from orders.figures.period import Period
from orders.states import OrderState


class Step(StrEnum):
    """How far an order has come."""

    QUOTED = "quoted"
    PAID = "paid"
    CLAIMED = "claimed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Lost:
    """Orders that came to this step and no farther, and why."""

    after: Step
    why: str
    orders: int
    capacity_sat: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """The orders that were quoted in a period, as they stand now. Each step counts all that came to it."""

    quoted: int
    paid: int
    claimed: int
    open: int
    lost: tuple[Lost, ...]
    #: Not over yet. Why: what the next attempt waits for, or nothing.
    under_way: tuple[Lost, ...]

    def reached(self, step: Step) -> int:
        """How many came to this step."""
        return {Step.QUOTED: self.quoted, Step.PAID: self.paid, Step.CLAIMED: self.claimed, Step.OPEN: self.open}[step]


_S = OrderState
#: Nothing follows by itself but that money goes back.
_OVER: Final = (_S.EXPIRED, _S.REJECTED, _S.REFUNDED, _S.GIVE_UP, _S.CLOSED, _S.CLOSING)

#: Why: the word that buyers were told; else what ended the order by its journal, or sent its deposits back.
#: By state besides, since that is what orders are found by.
_FUNNEL: Final = """
WITH quoted AS (
    SELECT id, state, give_up_reason, last_failure_reason, lsp_balance_sat + client_balance_sat AS capacity_sat,
           CASE WHEN opened_at IS NOT NULL THEN 'open'
                WHEN paid_at IS NULL THEN 'quoted'
                WHEN claimed_at IS NULL THEN 'paid'
                ELSE 'claimed' END AS reached,
           opened_at IS NULL AND state = ANY(%(over)s) AS is_lost
    FROM orders_channelorder
    WHERE state = ANY(%(states)s) AND created_at >= %(since)s AND created_at < %(until)s
), explained AS MATERIALIZED (  -- once for each order, however often its reason is named below
    SELECT reached, is_lost, capacity_sat,
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
    FROM quoted
)
SELECT reached, is_lost,
       CASE WHEN reason = ANY(%(reasons)s) THEN reason
            WHEN reason <> '' THEN %(other_reason)s
            WHEN NOT is_lost THEN ''
            WHEN cause = ANY(%(causes)s) THEN cause
            ELSE %(other_cause)s END AS why,
       count(*), sum(capacity_sat)::bigint
FROM explained GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 3
"""


def funnel(period: Period) -> Funnel:
    """How far the orders of the period came."""
    found = [
        (Lost(Step(step), why, orders, capacity_sat), is_lost)
        for step, is_lost, why, orders, capacity_sat in rows(
            _FUNNEL,
            **period.given,
            states=words(OrderState),
            over=words(_OVER),
            reasons=list(REASONS),
            other_reason=OTHER_REASON,
            causes=list(CAUSES),
            other_cause=OTHER_CAUSE,
        )
    ]
    come = {step: sum(each.orders for each, _ in found if each.after is step) for step in Step}
    opened = come[Step.OPEN]
    claimed = come[Step.CLAIMED] + opened
    paid = come[Step.PAID] + claimed
    return Funnel(
        quoted=come[Step.QUOTED] + paid,
        paid=paid,
        claimed=claimed,
        open=opened,
        lost=tuple(each for each, is_lost in found if is_lost),
        under_way=tuple(each for each, is_lost in found if not is_lost and each.after is not Step.OPEN),
    )
