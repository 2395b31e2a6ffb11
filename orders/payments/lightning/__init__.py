"""The Lightning rail: a hold invoice, held until the funding is published, settled then, or returned."""

from orders.payments.lightning.holding import arrive, claim_window, hold
from orders.payments.lightning.looking import (
    differing,
    insecurity,
    is_going_back,
    is_held,
    is_ours,
    is_returned_unasked,
    look,
    obstacle,
)
from orders.payments.lightning.returning import finish_return, give_back, keep
from orders.payments.lightning.settling import settle

__all__ = [
    "arrive",
    "claim_window",
    "differing",
    "finish_return",
    "give_back",
    "hold",
    "insecurity",
    "is_going_back",
    "is_held",
    "is_ours",
    "is_returned_unasked",
    "keep",
    "look",
    "obstacle",
    "settle",
]
