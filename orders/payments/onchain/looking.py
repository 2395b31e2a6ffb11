"""The deposits, as the node has them and as we have recorded them. They are ours when they count: none is held."""

from __future__ import annotations

from uuid import UUID

from lightning.node import LndNode
from orders import money
from orders.actors import Authority
from orders.causes import Cause
from orders.models import ChannelOrder, NodeSnapshot
from orders.models.order import Rail
from orders.payments.onchain import crediting, depth, foreseeing, payers, refunding
from orders.payments.onchain.watching import read_deposits
from orders.payments.rail import Security
from orders.queries import deposits_of
from orders.states import At


def look(order: ChannelOrder, node: LndNode, height: int | None = None) -> Security:
    """The deposits that are deep enough at the node now, however many there are: in one call, and one for each block.

    Raises: NodeUnavailable.
    """
    if payers.are_awaited(order):
        return Security(secured=False, lost=False, reason="who has paid is not known yet")
    if order.on_credit:
        return crediting.security(order, node)
    required = money.required_confirmations(order)
    deposits = deposits_of(order)
    depths = depth.of(order, deposits, node)
    came_sat = sum(deposit.amount_sat for deposit in deposits if depths.get(deposit.txid, 0) >= required)
    if came_sat >= money.owed_sat(order):
        return Security(secured=True, lost=False, reason="confirmed on chain")
    return Security(secured=False, lost=False, reason="the deposit is not deep enough now")


def insecurity(order: ChannelOrder) -> str:
    """Why the payment is not secured by our own records; "" when it is."""
    if refunding.is_going_back(order):
        return "The on-chain payment is going back."
    if order.on_credit:
        return crediting.insecurity(order)
    is_there = money.of(order, At.CONFIRMED, rail=Rail.ONCHAIN).is_covered
    return "" if is_there else "The on-chain payment is not confirmed."


def obstacle(order: ChannelOrder) -> str:
    """Nothing is left to take: the coins are in our wallet."""
    return ""


def settle(order_id: UUID, node: LndNode) -> None:
    """Nothing is left to take: the coins are in our wallet."""


def give_back(order: ChannelOrder, *, cause: Cause, actor: Authority) -> bool:
    """What came is due by itself once the order is over and its deposits are final: `refunding.intend` records that."""
    return False


def is_returned_unasked(order: ChannelOrder) -> bool:
    """Whoever records a refund has asked the node first."""
    return False


def keep(order_id: UUID) -> None:
    """Nothing was recorded without asking the node."""


def is_held(order: ChannelOrder) -> bool:
    """What is in our wallet is not held."""
    return False


def is_ours(order: ChannelOrder) -> bool:
    """What counts is in our wallet."""
    return True


def differing(node: LndNode, seen: NodeSnapshot) -> frozenset[UUID]:
    """Deposits are recorded as they are read, and recording nudges; besides, what the mempool says may have changed.

    Raises: NodeUnavailable.
    """
    read_deposits(node, seen)
    return frozenset({*foreseeing.to_look_at(), *crediting.to_look_at()})
