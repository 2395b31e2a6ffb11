"""That we answer by LSPS0, and where: told to the network by our node, which forgets it whenever it starts."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from django.conf import settings

from lightning.addresses import is_onion, literal
from lightning.errors import Rejected
from lightning.node import LndNode
from lightning.types import NodeInfo

log = logging.getLogger(__name__)

#: bLIP-50: who has it answers by LSPS0. Optional, as its number is odd.
FEATURE_BIT: Final = 729


def announce(node: LndNode) -> None:
    """The node's announcement has the feature, and the addresses that the settings name. Repeat: safe.

    Raises: LightningError.
    """
    info = node.info()
    bit = None if FEATURE_BIT in info.features else FEATURE_BIT
    addresses = missing(info, settings.NODE_URIS)
    if bit is None and not addresses:
        return
    try:
        node.announce(feature_bit=bit, addresses=addresses)
    except Rejected as refused:
        log.warning("the node announces nothing more: %s", refused)
        return
    log.info("the node announces that we speak LSPS1%s", "".join(f", and {address}" for address in addresses))


def missing(info: NodeInfo, uris: Collection[str]) -> list[str]:
    """The addresses among `uris` that the node does not tell.

    Names are left out: the node would look one up once, and tell what it found for as long as it runs.
    """
    told = {uri.partition("@")[2] for uri in info.uris}
    hosts = (uri.partition("@")[2] for uri in uris)
    return [host for host in hosts if host not in told and is_an_address(host)]


def is_an_address(host: str) -> bool:
    """It is told as it is: IPv4, IPv6 or an onion service."""
    name = host.rpartition(":")[0]
    try:
        return is_onion(name) or literal(name) is not None
    except ValueError:
        return False
