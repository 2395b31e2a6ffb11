"""What is opened: everything an attempt has to know, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightning.types import NodeAddress
from orders.models import ChannelOrder


@dataclass(frozen=True, slots=True)
class Terms:
    """One channel, as it will be asked of the peer."""

    node: NodeAddress
    capacity_sat: int
    #: Of the capacity, on the peer's side from the beginning.
    push_sat: int
    announced: bool
    #: Of both, what was paid beyond the price: not a part of what was sold.
    surplus_sat: int = 0
    #: Usable before its funding is in a block.
    zero_conf: bool = False


def of(order: ChannelOrder) -> Terms:
    """The channel that the order was sold as, to the node that it is claimed for."""
    return Terms(
        node=NodeAddress(order.node_pubkey, order.node_host),
        capacity_sat=order.capacity_sat,
        push_sat=order.client_balance_sat,
        announced=order.is_announced,
        zero_conf=order.is_zero_conf,
    )


def grown(sold: Terms, more_sat: int) -> Terms:
    """The same channel, larger on the buyer's side by what he has paid too much; our side is as it was sold."""
    capacity_sat, push_sat = sold.capacity_sat + more_sat, sold.push_sat + more_sat
    return replace(sold, capacity_sat=capacity_sat, push_sat=push_sat, surplus_sat=more_sat)
