"""The node that a buyer names is one that we can open a channel to, and money goes back to an address of theirs."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from lightning import addresses
from lightning.types import NodeAddress
from orders import queries, serving
from orders.barring import Asked, BanKind
from orders.errors import InvalidField, NotServed
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


def require_served(address: NodeAddress | None, *, refund_address: str = "") -> None:
    """Neither the node nor the address is listed as one that we do not serve. Raises: NotServed."""
    node, host = (address.pubkey, address.host) if address else ("", "")
    kind = serving.objection(Asked(node=node, host=host, refund_address=refund_address))
    if kind is BanKind.REFUND_ADDRESS:
        raise NotServed("We do not send money to this address: name another one.", field=REFUND_ADDRESS)
    if kind is not None:
        raise NotServed("We do not open channels to this node.", field=NODE)


def require_elsewhere(address: str) -> None:
    """It is not an address that our orders are paid at: the money would come to us again. Raises: InvalidField."""
    if ChannelOrder.objects.filter(deposit_address=address).exists():
        raise InvalidField(
            "This is an address of ours, where an order is paid: name one of your own.", field=REFUND_ADDRESS
        )
