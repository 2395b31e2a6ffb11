"""LNURL-channel's strings: pure. No framework, no I/O.

Spec: LUD-01 (the bech32 form), LUD-02 (channelRequest).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from bech32 import bech32_encode, convertbits

#: The path of both steps, under the public URL.
PATH: Final = "/lnurl/channel"
TAG: Final = "channelRequest"


def callback_url(public_url: str) -> str:
    """Where a wallet names its node. It carries no query of its own: wallets append theirs."""
    return f"{public_url}{PATH}"


def channel_url(public_url: str, order_id: str) -> str:
    """What the LNURL of an order says, decoded."""
    return f"{callback_url(public_url)}?order_id={order_id}"


def encode(url: str) -> str:
    """`url` as a lower-case LNURL; LUD-01 lifts bech32's limit of 90 characters."""
    words = convertbits(url.encode("ascii"), 8, 5)
    assert words is not None  # bytes always fit into eight bits
    return bech32_encode("lnurl", words)


def best_uri(uris: Iterable[str]) -> str:
    """The address that most wallets can dial: IPv4 or DNS, then IPv6, then onion; "" where there is none."""
    return min((uri for uri in uris if _dialable(uri)), key=_difficulty, default="")


def ordered(uris: Iterable[str]) -> list[str]:
    """The easiest to dial first; the node's own order among equals."""
    return sorted(uris, key=_difficulty)


def _dialable(uri: str) -> bool:
    key, _, host = uri.partition("@")
    return bool(key and host)


def _difficulty(uri: str) -> int:
    host = uri.partition("@")[2].rpartition(":")[0]
    if host.endswith(".onion"):
        return 2
    try:
        return int(ipaddress.ip_address(host.strip("[]")).version == 6)
    except ValueError:
        return 0  # a DNS name
