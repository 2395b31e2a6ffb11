"""What every request passes first: who asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


class ClientAddress:
    """After it `REMOTE_ADDR` is the client's address, as far as our own proxies vouch for it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The next answer, asked for with the client's own address."""
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if forwarded:
            request.META["REMOTE_ADDR"] = client_address(
                request.META.get("REMOTE_ADDR", ""), forwarded.split(","), settings.TRUSTED_PROXIES
            )
        return self.get_response(request)


def client_address(remote: str, forwarded: Sequence[str], trusted: int | tuple[str, ...]) -> str:
    """The nearest address that is not one of our proxies. What a stranger claims of itself is never believed."""
    hops = [*(hop.strip() for hop in forwarded), remote]
    address = hops.pop()
    vouched = 0
    while hops and (vouched < trusted if isinstance(trusted, int) else _is_among(address, trusted)):
        if not _is_address(hops[-1]):
            break
        address = hops.pop()
        vouched += 1
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_among(address: str, networks: tuple[str, ...]) -> bool:
    return _is_address(address) and any(
        ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks
    )
