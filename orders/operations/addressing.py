"""The node that a buyer names is one that we can open a channel to, and money goes back to an address of theirs."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from lightning import addresses
from lightning.types import NodeAddress
from orders import queries
from orders.errors import InvalidField
from orders.models import ChannelOrder

NODE: Final = "node"
REFUND_ADDRESS: Final = "refund_address"


def require_openable(address: NodeAddress) -> None:
    """The node is not ours, and its host is none that our node would never dial. Names are looked up when it dials.

    Raises: InvalidField.
    """
    if queries.is_our_node(address.pubkey):
        raise InvalidField("This is the key of the LSP's own node: name the node that gets the channel.", field=NODE)
    if settings.DIAL_PRIVATE_ADDRESSES or not address.host:
        return
    why = addresses.objection(address.host)
    if why:
        raise InvalidField(why, field=NODE)


def require_elsewhere(address: str) -> None:
    """It is not an address that our orders are paid at: the money would come to us again. Raises: InvalidField."""
    if ChannelOrder.objects.filter(deposit_address=address).exists():
        raise InvalidField(
            "This is an address of ours, where an order is paid: name one of your own.", field=REFUND_ADDRESS
        )
