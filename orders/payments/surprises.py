"""Surprises: a second axis beside the state, for staff to see."""

from __future__ import annotations

from orders import money
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.states import At, OrderState
from orders.transitions import needs_staff


def flag_surprises(order: ChannelOrder) -> None:
    """What arrives on the other rail, late, short or too much is flagged; never lost, never silently kept."""
    deposits = money.of(order, At.SEEN, rail=Rail.ONCHAIN)
    received = deposits.received_sat
    if order.state == OrderState.CREATED:
        order.underpaid = 0 < received < order.order_total_sat
    elif order.counted_payment == Rail.ONCHAIN:
        order.underpaid = False
        if deposits.surplus_sat:
            order.overpaid = True
            needs_staff(order, f"Deposits are {deposits.surplus_sat} sat more than was owed.")
    elif order.counted_payment == Rail.LIGHTNING and received:
        order.overpaid = True
        needs_staff(order, f"Paid by Lightning, and {received} sat arrived on chain besides.")
    elif received:
        order.paid_late = True
        needs_staff(order, f"{received} sat arrived on chain after the order had ended.")
