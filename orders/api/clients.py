"""Who asks: the network address that limits count by."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.http import HttpRequest

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What an IPv6 customer has at least: to count single addresses would count nothing.
_IPV6_PREFIX: Final = 64
UNKNOWN: Final = "unknown"


def client_address(request: HttpRequest) -> str:
    """The client's IPv4 address or IPv6 /64.

    `X-Forwarded-For` is believed only as far as `TRUSTED_PROXIES` wrote it: anybody can send one.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    chain = [*(part.strip() for part in forwarded if part.strip()), peer]
    trusted: int | tuple[str, ...] = settings.TRUSTED_PROXIES
    if isinstance(trusted, int):
        return counted(_behind(trusted, chain))
    return counted(_before(_networks(tuple(trusted)), chain))


def counted(text: str) -> str:
    """The address as limits count it: IPv4 whole, IPv6 by /64."""
    address = _parsed(text)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))


def _behind(count: int, chain: list[str]) -> str:
    """Every proxy appended the address that it saw: so the client's stands `count` from the end."""
    return chain[max(0, len(chain) - 1 - count)]


def _before(proxies: tuple[_Network, ...], chain: list[str]) -> str:
    """The last address that is none of our proxies."""
    nearest = chain[-1]
    for hop in reversed(chain):
        address = _parsed(hop)
        if address is None:
            return nearest  # a proxy passed on what is no address: the proxy is all we know
        nearest = hop
        if not any(address in network for network in proxies):
            break
    return nearest


def _parsed(text: str) -> _Address | None:
    """The address, with or without brackets, a zone and a port."""
    host, bracket, _ = text.removeprefix("[").partition("]")
    if not bracket and text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in trusted)
