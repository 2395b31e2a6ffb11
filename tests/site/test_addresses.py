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
        (CLIENT, [LIE], (), CLIENT),
        (PROXY, [], 1, PROXY),
        (PROXY, [CLIENT, "nonsense"], ("10.0.0.0/8",), PROXY),
        (PROXY, [CLIENT, ""], ("10.0.0.0/8",), PROXY),
        # without an address of the peer: only a proxy at a socket of this machine has none
        ("", [LIE], ("10.0.0.2/32",), ""),
        ("", [CLIENT], 1, CLIENT),
        ("unix:", [], 0, "unix:"),
        # as proxies write them: with spaces, a port, brackets, a zone; an IPv4 address in an IPv6 dress is one
        (PROXY, [LIE, f" {CLIENT} "], 1, CLIENT),
        (PROXY, [f"{CLIENT}:4711"], ("10.0.0.1/32",), CLIENT),
        ("::1", ["[2001:db8:1:2::99]:4711"], ("::1/128",), "2001:db8:1:2::99"),
        (f"::ffff:{PROXY}", [CLIENT], ("10.0.0.0/8",), CLIENT),
        (f"::ffff:{CLIENT}", [], 0, CLIENT),
        ("fe80::1%eth0", [], 0, "fe80::1"),
    ],
)
def test_only_our_own_proxies_are_believed(
    remote: str, forwarded: list[str], trusted: int | tuple[str, ...], address: str
) -> None:
    assert client_address(remote, forwarded, trusted) == address
