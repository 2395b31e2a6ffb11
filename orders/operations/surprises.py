"""Surprises: a second axis beside the state, for staff to see."""

from __future__ import annotations

from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.queries import deposits_of
from orders.states import OrderState
from orders.transitions import needs_staff


def flag_surprises(order: ChannelOrder) -> None:
    """What arrives on the other rail, late, short or too much is flagged; never lost, never silently kept."""
    received = sum(deposit.amount_sat for deposit in deposits_of(order))
    if order.state == OrderState.CREATED:
        order.underpaid = 0 < received < order.order_total_sat
    elif order.counted_payment == Rail.ONCHAIN:
        order.underpaid = False
        if received > order.order_total_sat:
            order.overpaid = True
            needs_staff(order, f"Deposits are {received - order.order_total_sat} sat more than was owed.")
    elif order.counted_payment == Rail.LIGHTNING and received:
        order.overpaid = True
        needs_staff(order, f"Paid by Lightning, and {received} sat arrived on chain besides.")
    elif received:
        order.paid_late = True
        needs_staff(order, f"{received} sat arrived on chain after the order had ended.")
