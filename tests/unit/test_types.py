"""Values that cross the border to the node: what a buyer types is read, or refused with a sentence."""

from __future__ import annotations

import pytest

from lightning.types import NodeAddress, Outpoint

KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
NOT_ON_THE_CURVE = "02" + "00" * 31 + "05"
TXID = "ab" * 32


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (KEY, ""),
        (f"{KEY}@example.org:9736", "example.org:9736"),
        (f"{KEY}@example.org", "example.org:9735"),
        (f"{KEY}@127.0.0.1:1", "127.0.0.1:1"),
        (f"{KEY}@[2001:db8::1]:9735", "[2001:db8::1]:9735"),
        (f"{KEY}@[2001:db8::1]", "[2001:db8::1]:9735"),
        (f"  {KEY.upper()}@Example.org:09735\n", "Example.org:9735"),
    ],
)
def test_a_node_address_is_read(text, host):
    assert NodeAddress.parse(text) == NodeAddress(KEY, host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@example.org",
        KEY[:-2],
        KEY + "00",
        "04" + KEY[2:],
        NOT_ON_THE_CURVE,
        "02" + "ff" * 32,
        f"{KEY}@",
        f"{KEY}@:9735",
        f"{KEY}@example.org:0",
        f"{KEY}@example.org:65536",
        f"{KEY}@example.org:-1",
        f"{KEY}@example.org:٣",
        f"{KEY}@example.org:",
        f"{KEY}@2001:db8::1:9735",
        f"{KEY}@exa mple.org",
        f"{KEY}@example.org/path",
        f"{KEY}@{'a' * 260}",
    ],
)
def test_what_is_no_node_address_is_refused(text):
    with pytest.raises(ValueError, match="^The node's"):
        NodeAddress.parse(text)


def test_a_node_address_reads_back_as_written():
    for text in (KEY, f"{KEY}@example.org:9735"):
        assert str(NodeAddress.parse(text)) == text


def test_an_outpoint_reads_back_as_written():
    outpoint = Outpoint.parse(f"{TXID}:7")
    assert outpoint == Outpoint(TXID, 7)
    assert str(outpoint) == f"{TXID}:7"


@pytest.mark.parametrize(
    "text", ["", TXID, f"{TXID}:", f"{TXID}:x", f"{TXID[:-1]}:0", f"{TXID.upper()}:0", f"{TXID}:-1"]
)
def test_what_is_no_outpoint_is_refused(text):
    with pytest.raises(ValueError, match="not an outpoint"):
        Outpoint.parse(text)
