"""What a node lacks for channels that open while their first payment is on its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lightning import just_in_time
from lightning.parts import ALIAS_HEIGHTS, JIT_HEIGHTS, NO_CHANNEL, is_alias, may_be_promised, resume_with
from lightning.rights import NEEDS, Feature
from lightning.types import NodeInfo

WELL = NodeInfo("02" + "ab" * 32, "", (), "0.21.4-beta", "regtest", 1, 0, True, 0, features=frozenset({47, 51}))


class Node:
    """As its `info`, `lnd_conf` and `refused` say."""

    def __init__(self) -> None:
        self.said = WELL
        self.lnd_conf = {"requireinterceptor": "true", "bitcoin.timelockdelta": "80", "rejecthtlc": "false"}
        self.refused: set[str] = set()

    def info(self) -> NodeInfo:
        return self.said

    def configuration(self) -> dict[str, str]:
        assert "/lnrpc.Lightning/GetDebugInfo" not in self.refused
        return self.lnd_conf

    def allows(self, method: str) -> bool:
        return method not in self.refused


def told(node: Any, *, cltv_blocks: int = 144, takes_old_lnd: bool = False) -> str:
    lacks = just_in_time.unable(node, cltv_blocks=cltv_blocks, takes_old_lnd=takes_old_lnd)
    assert all(lack.mend for lack in lacks)
    return "; ".join(lack.what for lack in lacks)


def test_a_node_that_has_all_of_it_lacks_nothing() -> None:
    assert told(Node()) == ""


@pytest.mark.parametrize("version", ["0.21.3-beta", "0.20.9-beta", "", "unknown"])
def test_an_old_lnd_does_only_where_somebody_says_so(version: str) -> None:
    node = Node()
    node.said = replace(WELL, version=version)
    assert "is older than 0.21.4" in told(node)
    assert told(node, takes_old_lnd=True) == ""


@pytest.mark.parametrize("features", [{47}, {51}, set()])
def test_aliases_and_unmined_channels_are_both_needed(features: set[int]) -> None:
    node = Node()
    node.said = replace(WELL, features=frozenset(features))
    assert "before their funding is mined" in told(node)


@pytest.mark.parametrize("method", sorted(NEEDS[Feature.JIT]))
def test_each_right_is_needed(method: str) -> None:
    node = Node()
    node.refused.add(method)
    assert "the macaroon does not allow" in told(node)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("requireinterceptor", "false", "requireinterceptor"),
        ("requireinterceptor", None, "requireinterceptor"),
        ("rejecthtlc", "true", "forwards nothing"),
        ("bitcoin.timelockdelta", "144", "asks for 144 blocks"),
        ("bitcoin.timelockdelta", None, "asks for unknown blocks"),
    ],
)
def test_what_lnd_conf_has_to_say(name: str, value: str | None, words: str) -> None:
    node = Node()
    node.lnd_conf.pop(name)
    if value is not None:
        node.lnd_conf[name] = value
    assert words in told(node)


def test_what_may_be_promised_lnd_takes_for_an_alias_and_gives_to_none_of_its_own() -> None:
    assert set(JIT_HEIGHTS) < set(ALIAS_HEIGHTS) and JIT_HEIGHTS.start - ALIAS_HEIGHTS.start == 50_000
    for height, alias, promised in ((15_999_999, False, False), (16_000_000, True, False), (16_250_000, False, False)):
        assert (is_alias(height << 40), may_be_promised(height << 40)) == (alias, promised)
    assert may_be_promised((16_249_999 << 40) + 2**40 - 1) and not may_be_promised(NO_CHANNEL)


@pytest.mark.parametrize(("out_msat", "fee_msat"), [(0, 1), (-1, 1), (1, -1)])
def test_a_part_goes_on_with_something_or_not_at_all(out_msat: int, fee_msat: int) -> None:
    with pytest.raises(ValueError):
        resume_with(out_msat, fee_msat=fee_msat)
