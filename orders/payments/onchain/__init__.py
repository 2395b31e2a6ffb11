"""The on-chain rail: deposits to an address of the order's own, which count once they are deep enough."""

from orders.payments.onchain.counting import arrive, claim_window, count
from orders.payments.onchain.crediting import follow as follow_credit
from orders.payments.onchain.crediting import offered_satvbyte
from orders.payments.onchain.due import awaits_depth, is_over
from orders.payments.onchain.due import is_possible as may_owe
from orders.payments.onchain.due import live as live_refund
from orders.payments.onchain.due import sat as due_sat
from orders.payments.onchain.late import buys as buys_late
from orders.payments.onchain.late import take as take_late
from orders.payments.onchain.looking import (
    differing,
    give_back,
    insecurity,
    is_held,
    is_ours,
    is_returned_unasked,
    keep,
    look,
    obstacle,
    settle,
)
from orders.payments.onchain.missing import follow as follow_missing
from orders.payments.onchain.missing import is_missing
from orders.payments.onchain.payers import look as see_who_paid
from orders.payments.onchain.proposing import decline as decline_refund
from orders.payments.onchain.proposing import grant as grant_refund
from orders.payments.onchain.proposing import propose as propose_refund
from orders.payments.onchain.proposing import proposed as proposed_refund
from orders.payments.onchain.recording import record
from orders.payments.onchain.refunding import intend as intend_refund
from orders.payments.onchain.refunding import is_going_back, is_unsigned, say_address
from orders.payments.onchain.refunding import keep_one as keep_refund
from orders.payments.onchain.refunding import release as release_kept
from orders.payments.onchain.refunding import withdraw_all as withdraw_refunds
from orders.payments.onchain.sending import step as finish_return

__all__ = [
    "arrive",
    "awaits_depth",
    "buys_late",
    "claim_window",
    "count",
    "decline_refund",
    "differing",
    "due_sat",
    "finish_return",
    "follow_credit",
    "follow_missing",
    "give_back",
    "grant_refund",
    "insecurity",
    "intend_refund",
    "is_going_back",
    "is_held",
    "is_missing",
    "is_ours",
    "is_over",
    "is_returned_unasked",
    "is_unsigned",
    "keep",
    "keep_refund",
    "live_refund",
    "look",
    "may_owe",
    "obstacle",
    "offered_satvbyte",
    "propose_refund",
    "proposed_refund",
    "record",
    "release_kept",
    "say_address",
    "see_who_paid",
    "settle",
    "take_late",
    "withdraw_refunds",
]
