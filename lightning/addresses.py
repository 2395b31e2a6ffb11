"""Which hosts our node dials for a stranger, and what a host means before anybody is asked: rules, no I/O.

A buyer names a host and our node connects to it, from where it stands: without a rule that reaches the machine
itself, its neighbours, and whatever a cloud lets its own machines ask.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

IPAddress = IPv4Address | IPv6Address

#: IANA's special-purpose registry: no stranger's node is reached by these from the internet.
_SPECIAL_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network, and the unspecified address
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # behind a carrier's NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and the metadata of clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
#: All that was ever given out; what lies outside is loopback, private, link-local, multicast or reserved.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")

_NUMBER: Final = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_ONION: Final = re.compile(r"[a-z2-7]{56}\.onion", re.IGNORECASE)
#: Names that lead nowhere but home, whoever is asked for them.
_AT_HOME: Final = frozenset({"localhost", "local", "internal", "home.arpa"})


def is_public(address: IPAddress) -> bool:
    """A stranger's node may be there: the address is one of the internet's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    inner = leads_to(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_V6)


def leads_to(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end at, where it is only a way of writing that."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def literal(name: str) -> IPAddress | None:
    """The address that the host is, in whatever spelling; None: it is a name, which somebody has to resolve.

    A host whose last part is a number is no name (there is no such top-level domain), but an address as the C
    library reads them: `127.1`, `0x7f.1` and `2130706433` are loopback.
    Raises: ValueError where it is neither.
    """
    bare = name.rstrip(".")
    if bare.startswith("["):
        return IPv6Address(bare[1:-1])
    if not _NUMBER.fullmatch(bare.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(socket.inet_aton(bare))
    except OSError:
        raise ValueError(f"{name} is no address.") from None


def is_onion(name: str) -> bool:
    """It is the name of an onion service: only Tor can find it, and nobody of ours stands behind it by accident."""
    return bool(_ONION.fullmatch(name))


def objection(host: str) -> str:
    """Why our node does not dial `host` (`name:port`), as far as its writing shows; "" where it may."""
    name = host.rpartition(":")[0]
    try:
        address = literal(name)
    except ValueError:
        return f"The node's host {name} is no address."
    if address is None:
        fits = is_onion(name) or _is_of_the_internet(name.rstrip(".").lower())
    else:
        fits = is_public(address)
    return "" if fits else f"The node's host must be reachable from the internet, which {name} is not."


def _is_of_the_internet(name: str) -> bool:
    labels = name.split(".")
    parents = {".".join(labels[at:]) for at in range(len(labels))}
    return len(labels) > 1 and labels[-1] != "onion" and not parents & _AT_HOME


def joined(address: IPAddress, port: str) -> str:
    """`address:port`, as it is dialled."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
