"""Surprises: a second axis beside the state, for staff to see."""

from __future__ import annotations

from orders import money
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.states import At, DepositState, OrderState


def flag_surprises(order: ChannelOrder) -> None:
    """What arrives on the other rail, late, short or too much is flagged; never lost, never silently kept."""
    received = money.received_sat(order, At.SEEN, rail=Rail.ONCHAIN)
    if order.state == OrderState.REFUNDED and (since := _since_returned_sat(order)) is not None:
        if since:
            order.paid_late = True
            words = f"{since} sat arrived on chain after the order's money had been returned."
            raise_flag(order, FlagKind.PAID_LATE, words)
    elif order.state == OrderState.CREATED:
        order.underpaid = 0 < received < order.order_total_sat
    elif order.counted_payment == Rail.ONCHAIN:
        order.underpaid = False
        surplus = received - money.owed_sat(order)
        if surplus > 0:
            order.overpaid = True
            words = f"Deposits are {surplus} sat more than was owed."
            raise_flag(order, FlagKind.DEPOSITS_SURPLUS, words)
    elif order.counted_payment == Rail.LIGHTNING and received:
        order.overpaid = True
        words = f"Paid by Lightning, and {received} sat arrived on chain besides."
        raise_flag(order, FlagKind.PAID_BESIDES, words)
    elif received:
        order.paid_late = True
        raise_flag(order, FlagKind.PAID_LATE, f"{received} sat arrived on chain after the order had ended.")


def _since_returned_sat(order: ChannelOrder) -> int | None:
    """What has come on chain since staff returned all that there was; None: they have returned nothing."""
    returned = order.events.filter(cause=Cause.RETURNED_BY_HAND, to_state=OrderState.REFUNDED).first()
    if returned is None:
        return None
    seen = order.events.filter(cause=Cause.DEPOSIT_SEEN, version__lt=returned.version)
    before = set(seen.values_list("facts__txid", flat=True))  # whole: all outputs of one are seen at once
    deposits = order.onchain_payments.exclude(state=DepositState.VANISHED)
    return sum(deposit.amount_sat for deposit in deposits if deposit.txid not in before)
