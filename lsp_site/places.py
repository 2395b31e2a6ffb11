"""Where things are: hosts, ports, URLs, nodes. What is accepted here can be reached, as far as its text can tell."""

from __future__ import annotations

import ipaddress
import re

from lightning.types import NodeAddress
from lsp_site.parsers import Parser

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_URL = re.compile(
    r"(https?)://(\[[^\]]*\]|[^/:]*)(?::([0-9]+))?((?:/[\w.~!$&'()*+,;=:@%-]*)*)", re.ASCII | re.IGNORECASE
)
#: A page's address, with whatever may stand in one as it is.
_PAGE = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[^/?#:@]+)(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)", re.ASCII
)
#: Browsers leave these out of an origin.
_USUAL_PORTS = {"http": 80, "https": 443}


def items(value: str) -> tuple[str, ...]:
    """The parts between the commas. Raises: ValueError when there is none."""
    parts = tuple(part.strip() for part in value.split(",") if part.strip())
    if not parts:
        raise ValueError("must name at least one, or be left out")
    return parts


def is_host(text: str) -> bool:
    """A name, an IPv4 address, or an IPv6 address in brackets."""
    if text.startswith("["):
        return text.endswith("]") and ":" in text and _address(text) is not None
    if re.fullmatch(r"[0-9.]+", text):
        return _address(text) is not None
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def is_everywhere(host: str) -> bool:
    """0.0.0.0 or [::]: one can listen there, and nobody can connect."""
    address = _address(host)
    return address is not None and address.is_unspecified


def is_this_machine(host: str) -> bool:
    """Only who is on this machine can connect."""
    address = _address(host)
    return host.lower().rstrip(".") == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def explorer(placeholder: str) -> Parser:
    """A parser of a page's address with one `{placeholder}` in it, for a browser to follow."""

    def parse(value: str) -> str:
        whole, wanted = value.replace(f"{{{placeholder}}}", "0"), f"https://explorer.example/…{{{placeholder}}}"
        found = _PAGE.fullmatch(whole)
        if value.count(f"{{{placeholder}}}") != 1 or found is None or not is_host(found[1]):
            raise ValueError(f"must be like {wanted}, with {{{placeholder}}} once")
        return value

    return parse


def listen(value: str) -> tuple[str, int]:
    """Host and port. Raises: ValueError."""
    host, _, port = value.rpartition(":")
    if not _is_port(port):
        raise ValueError("must be host:port with a port from 1 to 65535")
    if not is_host(host):
        raise ValueError("must be host:port: a name, an IPv4 address, or an IPv6 address in brackets, and no http://")
    return host, int(port)


def host_and_port(value: str) -> str:
    """The same text. Raises: ValueError when it is not host:port, or nobody can connect there."""
    host, _ = listen(value)
    if is_everywhere(host):
        raise ValueError("must be where one can connect to, and not all addresses of a machine")
    return value


def hosts(value: str) -> tuple[str, ...]:
    """Names to answer to; `.example.com` is all below it too. Raises: ValueError when one could never match."""
    for part in items(value):
        if part != "*" and not is_host(part.removeprefix(".")):
            raise ValueError("must be a comma list of host names, without http:// and without ports")
    return items(value)


def url(value: str) -> str:
    """The URL as browsers write it: scheme and host in small letters, no usual port, no slash at its end.

    Raises: ValueError.
    """
    origin, path = _origin_and_path(value)
    return origin + path.rstrip("/")


def _origin_and_path(value: str) -> tuple[str, str]:
    match = _URL.fullmatch(value)
    if match is None or not is_host(match[2]) or not _is_port(match[3] or "1"):
        raise ValueError("must be http(s)://host[:port][/path], without a user, a query or a fragment")
    if is_everywhere(match[2]):
        raise ValueError("must be where others can connect to, and not all addresses of a machine")
    scheme, port = match[1].lower(), int(match[3] or 0)
    written = f":{port}" if port not in (0, _USUAL_PORTS[scheme]) else ""
    return f"{scheme}://{match[2].lower()}{written}", match[4]


def origins(value: str) -> tuple[str, ...]:
    """Origins as browsers write them; `https://*.example.com` is all below it. Raises: ValueError."""
    return tuple(_origin(part) for part in items(value))


def _origin(part: str) -> str:
    scheme, below, rest = part.partition("://*.")
    try:
        origin, path = _origin_and_path(f"{scheme}://{rest}" if below else part)
    except ValueError:
        path = "none"
    if path.strip("/"):
        raise ValueError("must be a comma list of origins such as https://lsp.example, without a path")
    return origin.replace("://", "://*.") if below else origin


def node_uris(value: str) -> tuple[str, ...]:
    """Where wallets find one node. Raises: ValueError when one could not connect, or two name different nodes."""
    nodes = [_node(part) for part in items(value)]
    if len({node.pubkey for node in nodes}) > 1:
        raise ValueError("must have the same key in each of them: they are addresses of one node")
    return tuple(dict.fromkeys(map(str, nodes)))


def _node(part: str) -> NodeAddress:
    try:
        node = NodeAddress.parse(part)
        host_and_port(node.host)
    except ValueError as error:
        raise ValueError(f"must be a comma list of key@host:port ({str(error).rstrip('.')})") from None
    return node


def proxies(value: str) -> int | tuple[str, ...]:
    """How many proxies stand before us, or their addresses (networks). Raises: ValueError."""
    if value.isascii() and value.isdecimal():
        if int(value) > 10:
            raise ValueError("must be a count of at most 10, or a comma list of addresses")
        return int(value)
    try:
        networks = [ipaddress.ip_network(part) for part in items(value)]
    except ValueError:
        raise ValueError("must be a count, or a comma list of addresses or networks") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must not have all addresses: then everybody says for himself who he is")
    return tuple(map(str, networks))
