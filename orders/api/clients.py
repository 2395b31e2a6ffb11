"""Who asks: the network address that limits count by."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from django.http import HttpRequest

#: What an IPv6 customer has at least: to count single addresses would count nothing.
_IPV6_PREFIX: Final = 64
UNKNOWN: Final = "unknown"
#: Networks of one's own: whoever stands in them passes on for many whom we cannot tell apart.
_OWN: Final = tuple(
    map(
        ipaddress.ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
         "::/64", "fc00::/7", "fe80::/10"),
    )
)  # fmt: skip


def client_address(request: HttpRequest) -> str:
    """The client's IPv4 address or IPv6 /64. Whose address `REMOTE_ADDR` is, the site has settled before."""
    return counted(request.META.get("REMOTE_ADDR", ""))


@lru_cache(maxsize=1024)
def counted(text: str) -> str:
    """The address as limits count it: IPv4 whole, IPv6 by /64."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))


@lru_cache(maxsize=1024)
def tells_apart(client: str) -> bool:
    """A client's address is somebody's own: not that of an onion service, or of a proxy that nobody named."""
    try:
        network = ipaddress.ip_network(client)
    except ValueError:
        return False
    return not any(network.version == own.version and network.subnet_of(own) for own in _OWN)  # type: ignore[arg-type]
