"""What every request passes first: who asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientAddress:
    """After it `REMOTE_ADDR` is the client's address, as far as our own proxies vouch for it: all that comes later
    (limits, logs) reads nothing else.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The next answer, asked for with the client's own address."""
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        request.META["REMOTE_ADDR"] = client_address(
            request.META.get("REMOTE_ADDR", ""), forwarded.split(",") if forwarded else (), settings.TRUSTED_PROXIES
        )
        return self.get_response(request)


def client_address(remote: str, forwarded: Sequence[str], trusted: int | tuple[str, ...]) -> str:
    """The nearest address that is not one of our proxies. What a stranger claims of itself is never believed.

    Every proxy appended the address that it saw; one that appended no address is all that we know.
    """
    hops, vouched = list(forwarded), 0
    nearest = _parsed(remote)
    while hops and (vouched < trusted if isinstance(trusted, int) else _is_among(nearest, trusted)):
        said = _parsed(hops.pop())
        if said is None:
            break
        nearest, vouched = said, vouched + 1
    return remote if nearest is None else str(nearest)


def _is_among(address: _Address | None, trusted: tuple[str, ...]) -> bool:
    return address is not None and any(address in network for network in _networks(trusted))


def _parsed(text: str) -> _Address | None:
    """The address, with or without brackets, a zone and a port; an IPv4 address in an IPv6 dress is one."""
    host, bracket, _ = text.strip().removeprefix("[").partition("]")
    if not bracket and host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in trusted)


#: No script or style in a page, none from elsewhere, and nobody else's page around ours.
_OWN_ALONE = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "font", "connect")),
        "img-src 'self' data:",
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)


class OwnContentAlone:
    """A page for staff runs what this server has given to it as a file, and asks nobody else for anything: words of a
    stranger that came into one through a fault of ours do nothing there.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The next answer, with the policy where it is the admin's."""
        answer = self.get_response(request)
        if request.path.startswith("/admin"):
            answer.headers.setdefault("Content-Security-Policy", _OWN_ALONE)
        return answer
