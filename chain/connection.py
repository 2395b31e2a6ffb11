"""The one Bitcoin node that the settings name, where they name one."""

from __future__ import annotations

from django.conf import settings

from chain.access import Access
from chain.node import ChainNode


def node() -> ChainNode | None:
    """None: none is set."""
    if not settings.CHAIN_RPC:
        return None
    return ChainNode(Access.parse(settings.CHAIN_RPC, settings.CHAIN_RPC_CERT or ""))
