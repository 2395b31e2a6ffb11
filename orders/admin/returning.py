"""Money goes back to its buyer, whichever way it can: what is held, what came on chain, what is proposed or kept."""

from __future__ import annotations

from uuid import UUID

from orders import money, queries
from orders.actors import Authority
from orders.admin import going_back
from orders.errors import NotPossible
from orders.models import ChannelOrder
from orders.operations import deciding, ending, refunding
from orders.payments import security
from orders.states import At, OrderState
from orders.story import sat


def why_not(order: ChannelOrder) -> str:
    """Why nothing of the order's money can be sent on its way now; "" when something can."""
    if _is_cancelled(order) or not deciding.why_not_granted(order) or not refunding.why_not_released(order):
        return ""
    return ending.why_not_cancelled(order) or "Nothing is paid for it."


def return_money(order_id: UUID, actor: Authority) -> ChannelOrder:
    """What is proposed is granted, or it is cancelled, or what is kept is due again: the first that can be.

    What is proposed already comes first: cancelling would propose it, and leave it so.
    Raises: OrderNotFound, NotPossible.
    """
    order = queries.order_or_raise(order_id)
    if not deciding.why_not_granted(order):
        return deciding.grant(order_id, actor=actor)
    if _is_cancelled(order):
        return ending.cancel(order_id, actor=actor)
    if not refunding.why_not_released(order):
        return refunding.release(order_id, actor=actor)
    raise NotPossible(why_not(order))


def told(order: ChannelOrder, _: str) -> str:
    """What becomes of its money."""
    if not deciding.why_not_granted(order):
        return going_back.granted(order, "")
    return cancelled(order, "") if _is_cancelled(order) else going_back.released(order, "")


def way(order: ChannelOrder) -> str:
    """The same, in a word or two."""
    if not deciding.why_not_granted(order):
        return _on_chain(order, "proposed")
    return way_of_cancelled(order) if _is_cancelled(order) else _on_chain(order, "kept")


def amount_sat(order: ChannelOrder) -> int:
    """How much of it goes back."""
    if not deciding.why_not_granted(order):
        return deciding.proposed_sat(order)
    if _is_cancelled(order):
        return held_sat(order) or money.of(order, At.SEEN).received_sat
    return refunding.kept_sat(order)


def cancelled(order: ChannelOrder, _: str) -> str:
    """What becomes of the money of an order that is cancelled."""
    seen_sat = money.of(order, At.SEEN).received_sat
    if order.state == OrderState.CREATED:
        stay = f" {sat(seen_sat)} seen on chain {going_back.goes(order)}." if seen_sat else ""
        return f"Nothing is paid that counts; it cannot be paid any more.{stay}"
    if held := held_sat(order):
        return f"{sat(held)} that the node holds go back to the buyer at once."
    return f"{sat(max(seen_sat, order.order_total_sat))} {going_back.goes(order)}."


def way_of_cancelled(order: ChannelOrder) -> str:
    """The same, in a word or two."""
    if order.state == OrderState.CREATED:
        return "not paid: it cannot be paid any more"
    if held_sat(order):
        return "held by the node: back at once"
    return going_back.PROPOSED if going_back.is_proposed(order) else _on_chain(order, "on chain")


def where(order: ChannelOrder) -> str:
    """Where the money of an order is that is tried again: it stays there."""
    return "held by the node, and stays so" if held_sat(order) else "on chain, and stays with us"


def held_sat(order: ChannelOrder) -> int:
    """What the node holds and may still return."""
    return money.of(order, At.SEEN).held_sat if security.is_held(order) else 0


def _is_cancelled(order: ChannelOrder) -> bool:
    """It is paid, and cancelling sends that back. One that is not paid is no case of this."""
    return order.state != OrderState.CREATED and not ending.why_not_cancelled(order)


def _on_chain(order: ChannelOrder, what: str) -> str:
    return f"{what}: back once it is final" if order.refund_address else f"{what}: back once an address is known"
