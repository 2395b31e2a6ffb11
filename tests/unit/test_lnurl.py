"""The strings of LNURL-channel."""

from __future__ import annotations

import pytest
from bech32 import bech32_decode, convertbits
from hypothesis import given
from hypothesis import strategies as st

from orders import lnurl

KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def test_the_example_of_lud_01_is_encoded_as_there() -> None:
    url = "https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df"
    assert lnurl.encode(url) == (
        "lnurl1dp68gurn8ghj7um9wfmxjcm99e3k7mf0v9cxj0m385ekvcenxc6r2c35xvukxefcv5mkvv34x5ekzd3ev56nyd3hxqurzepexejxxepnx"
        "scrvwfnv9nxzcn9xq6xyefhvgcxxcmyxymnserxfq5fns"
    )


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=300))
def test_what_is_encoded_is_decoded_again(text: str) -> None:
    prefix, words = bech32_decode(lnurl.encode(text))
    assert prefix == "lnurl"
    assert bytes(convertbits(words or [], 5, 8, False) or []).decode() == text


@pytest.mark.parametrize(
    ("hosts", "best"),
    [
        (["aaaa.onion:9735", "203.0.113.5:9735"], "203.0.113.5:9735"),
        (["[2001:db8::1]:9735", "node.example:9735"], "node.example:9735"),
        (["aaaa.onion:9735", "[2001:db8::1]:9735"], "[2001:db8::1]:9735"),
        (["aaaa.onion:9735"], "aaaa.onion:9735"),
        (["b.example:1", "203.0.113.5:1"], "b.example:1"),
    ],
)
def test_the_address_that_most_wallets_can_dial_is_the_best(hosts: list[str], best: str) -> None:
    assert lnurl.best_uri([f"{KEY}@{host}" for host in hosts]) == f"{KEY}@{best}"


@pytest.mark.parametrize("uris", [[], [KEY], [""], ["@host:1"]])
def test_where_nothing_can_be_dialled_there_is_no_best(uris: list[str]) -> None:
    assert lnurl.best_uri(uris) == ""
