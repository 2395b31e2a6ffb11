"""The one node that the settings name."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache

from django.conf import settings
from django.utils.module_loading import import_string

from lightning.credentials import Credentials
from lightning.node import LndNode


def node() -> LndNode:
    """The node of this process: built once, of the class that `LIGHTNING_NODE` names; connected at its first call.

    Each call raises NodeUnavailable, "NETWORK_MISMATCH" where the node is not on `LND_NETWORK`, and "ANOTHER_NODE"
    where our records are of another: what is looked for at the wrong node would count as lost.
    """
    access = replace(credentials(), recognises=import_string(settings.NODE_RECOGNISED_BY))
    return _node_of(os.getpid(), settings.LIGHTNING_NODE, access)


def credentials() -> Credentials:
    """Who we are to the node, as the settings say."""
    return Credentials(
        target=settings.LND_GRPC,
        tls_cert=str(settings.LND_TLS_CERT or ""),
        macaroon=str(settings.LND_MACAROON or ""),
        network=settings.LND_NETWORK,
    )


# By process, since a fork inherits what its parent has built. Two, since a test may change the settings and back.
@lru_cache(maxsize=2)
def _node_of(_process: int, dotted_path: str, access: Credentials) -> LndNode:
    built: LndNode = import_string(dotted_path)(access)
    return built
