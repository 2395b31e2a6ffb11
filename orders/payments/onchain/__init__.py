"""The on-chain rail: deposits to an address of the order's own, which count once they are deep enough."""

from orders.payments.onchain.counting import arrive, claim_window, count
from orders.payments.onchain.looking import (
    differing,
    finish_return,
    give_back,
    insecurity,
    is_going_back,
    is_held,
    is_ours,
    is_returned_unasked,
    keep,
    look,
    obstacle,
    settle,
)
from orders.payments.onchain.recording import record

__all__ = [
    "arrive",
    "claim_window",
    "count",
    "differing",
    "finish_return",
    "give_back",
    "insecurity",
    "is_going_back",
    "is_held",
    "is_ours",
    "is_returned_unasked",
    "keep",
    "look",
    "obstacle",
    "record",
    "settle",
]
