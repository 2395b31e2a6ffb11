"""Where a claimed node is: as its buyer says, else as the graph has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lightning import rights
from lightning.errors import PeerOffline
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import NodeAddress

#: Who dials for an order lists the peers too, just before its attempt.
_BELIEVED_SECONDS: Final = 1.0


def known_host(pubkey: str, node: LndNode, *, tries: int) -> str:
    """Where the node has announced itself, another place at each try; "" where it has not, or we may not ask.

    Raises: NodeUnavailable.
    """
    hosts = () if rights.lacking(Feature.GRAPH, node) else node.known_hosts(pubkey)
    return hosts[tries % len(hosts)] if hosts else ""


def connect(address: NodeAddress, node: LndNode, *, tries: int, timeout_seconds: int) -> None:
    """The node is connected, or was a moment ago: then the attempt says that it has gone.

    Raises: PeerOffline, Rejected (our own key), NodeUnavailable.
    """
    try:
        node.connect(address, timeout_seconds=timeout_seconds, believed_seconds=_BELIEVED_SECONDS)
    except PeerOffline:
        host = "" if address.host else known_host(address.pubkey, node, tries=tries)
        if not host:
            raise
        node.connect(replace(address, host=host), timeout_seconds=timeout_seconds)
