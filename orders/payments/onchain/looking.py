"""The deposits, as the node has them and as we have recorded them. They are ours when they count: none is held."""

from __future__ import annotations

from uuid import UUID

from lightning.node import LndNode
from orders import money
from orders.actors import Authority
from orders.causes import Cause
from orders.models import ChannelOrder, NodeSnapshot
from orders.models.order import Rail
from orders.payments.onchain.watching import read_deposits
from orders.payments.rail import Security
from orders.queries import deposits_of
from orders.states import At
from orders.wallet.looking import wallet_transaction


def look(order: ChannelOrder, node: LndNode) -> Security:
    """The deposits that are deep enough at the node now.

    Raises: NodeUnavailable.
    """
    depth = money.required_confirmations(order)
    total = 0
    for deposit in deposits_of(order):
        transaction = wallet_transaction(node, deposit.txid)
        if transaction is not None and transaction.confirmations >= depth:
            total += deposit.amount_sat
    if total >= order.order_total_sat:
        return Security(secured=True, lost=False, reason="confirmed on chain")
    return Security(secured=False, lost=False, reason="the deposit is not deep enough now")


def insecurity(order: ChannelOrder) -> str:
    """Why the payment is not secured by our own records; "" when it is."""
    is_there = money.of(order, At.CONFIRMED, rail=Rail.ONCHAIN).is_covered
    return "" if is_there else "The on-chain payment is not confirmed."


def obstacle(order: ChannelOrder) -> str:
    """Nothing is left to take: the coins are in our wallet."""
    return ""


def settle(order_id: UUID, node: LndNode) -> None:
    """Nothing is left to take: the coins are in our wallet."""


def give_back(order: ChannelOrder, *, cause: Cause, actor: Authority) -> bool:
    """Nothing goes back by itself: a person returns it by hand."""
    return False


def is_going_back(order: ChannelOrder) -> bool:
    """Nothing goes back by itself."""
    return False


def finish_return(order_id: UUID, node: LndNode) -> None:
    """Nothing goes back by itself."""


def keep(order_id: UUID) -> None:
    """Nothing goes back by itself."""


def is_held(order: ChannelOrder) -> bool:
    """What is in our wallet is not held."""
    return False


def is_ours(order: ChannelOrder) -> bool:
    """What counts is in our wallet."""
    return True


def differing(node: LndNode, seen: NodeSnapshot) -> frozenset[UUID]:
    """Deposits are recorded as they are read, and recording nudges: nothing else differs.

    Raises: NodeUnavailable.
    """
    read_deposits(node, seen)
    return frozenset()
