"""Whose address a request counts under."""

from __future__ import annotations

import pytest

from lsp_site.middleware import client_address

CLIENT, PROXY, SECOND, LIE = "203.0.113.7", "10.0.0.1", "10.0.0.2", "198.51.100.66"


@pytest.mark.parametrize(
    ("remote", "forwarded", "trusted", "address"),
    [
        (CLIENT, [LIE], 0, CLIENT),
        (PROXY, [LIE, CLIENT], 1, CLIENT),
        (SECOND, [LIE, CLIENT, PROXY], 2, CLIENT),
        (PROXY, [CLIENT], 2, CLIENT),
        (PROXY, ["nonsense"], 1, PROXY),
        (CLIENT, [LIE], ("10.0.0.0/8",), CLIENT),
        (PROXY, [LIE, CLIENT], ("10.0.0.0/8",), CLIENT),
        (SECOND, [LIE, CLIENT, PROXY], ("10.0.0.1/32", "10.0.0.2/32"), CLIENT),
        (SECOND, [LIE, CLIENT, PROXY], ("10.0.0.2/32",), PROXY),
        ("", [LIE], ("10.0.0.2/32",), ""),
    ],
)
def test_only_our_own_proxies_are_believed(
    remote: str, forwarded: list[str], trusted: int | tuple[str, ...], address: str
) -> None:
    assert client_address(remote, forwarded, trusted) == address
