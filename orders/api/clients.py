"""Who asks: the network address that limits count by."""

from __future__ import annotations

import ipaddress
from typing import Final

from django.http import HttpRequest

#: What an IPv6 customer has at least: to count single addresses would count nothing.
_IPV6_PREFIX: Final = 64
UNKNOWN: Final = "unknown"


def client_address(request: HttpRequest) -> str:
    """The client's IPv4 address or IPv6 /64. Whose address `REMOTE_ADDR` is, the site has settled before."""
    return counted(request.META.get("REMOTE_ADDR", ""))


def counted(text: str) -> str:
    """The address as limits count it: IPv4 whole, IPv6 by /64."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))
