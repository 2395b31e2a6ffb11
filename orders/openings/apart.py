"""The peer is disconnected, which ends whatever it was about to complete, and connected again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.errors import LightningError, PeerOffline
from lightning.node import LndNode
from lightning.types import NodeAddress
from orders import keys
from orders.models import ChannelOpening

log = logging.getLogger(__name__)


@contextmanager
def apart(opening: ChannelOpening, node: LndNode) -> Iterator[None]:
    """The peer has dropped what it was about to complete; after the block it is back (LND forgets to connect it).

    Whoever looks for the channel inside finds it, or it will never be; also who then fails leaves the peer connected.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    address, was_there = _address_of(opening, node)
    node.disconnect(opening.node_pubkey)
    try:
        yield
    except LightningError:
        _connect_again(opening, address, node, was_there=was_there)
        raise
    _connect_again(opening, address, node, was_there=was_there)


def connection(pubkey: str, node: LndNode) -> str:
    """By which connection the peer is there, told apart but not stored; "": it is not there.

    Who connects to us does so from another port each time; of a peer that we connect to nobody sees that it is another.
    Raises: NodeUnavailable.
    """
    there = next((peer for peer in node.peers() if peer.pubkey == pubkey), None)
    return keys.connection_hash(there.address) if there is not None else ""


def _connect_again(opening: ChannelOpening, address: NodeAddress, node: LndNode, *, was_there: bool) -> None:
    try:
        node.connect(address, timeout_seconds=5, was_there=was_there)
    except PeerOffline:
        pass  # it comes back by itself, or the next attempt finds it
    except LightningError as error:
        log.info("order=%s the peer is not connected again: %s", opening.order_id, error)


def _address_of(opening: ChannelOpening, node: LndNode) -> tuple[NodeAddress, bool]:
    """Where the peer is reached now, or the buyer's word, and whether our node has dialled it there by itself.

    A buyer's word must not send somebody else's peer to another address.
    """
    for peer in node.peers():
        if peer.pubkey == opening.node_pubkey and not peer.inbound:
            return NodeAddress(peer.pubkey, peer.address), True
    return NodeAddress(opening.node_pubkey, opening.node_host), False
