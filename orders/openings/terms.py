"""What is opened: everything an attempt has to know, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass

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
    #: Usable before its funding is in a block.
    zero_conf: bool = False


def of(order: ChannelOrder) -> Terms:
    """The channel that the order was sold as, to the node that it is claimed for."""
    return Terms(
        node=NodeAddress(order.node_pubkey, order.node_host),
        capacity_sat=order.capacity_sat,
        push_sat=order.client_balance_sat,
        announced=order.is_announced,
    )
