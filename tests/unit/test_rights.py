"""What the macaroon has to allow, feature by feature."""

from __future__ import annotations

from typing import Any

import pytest

from lightning import rights
from lightning.credentials import required_methods
from lightning.errors import NodeUnavailable, NotFound
from lightning.rights import NEEDS, Feature, to_bake
from tests.fakes import FakeNode

HEARING = "/lnrpc.Lightning/SubscribeTransactions"


class Limited(FakeNode):
    """Its macaroon allows all but these."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = set(refused)
        self.asked: list[str] = []

    def allows(self, method: str) -> bool:
        self.asked.append(method)
        return method not in self.refused


def test_each_call_that_we_make_is_a_right_of_some_feature_and_none_is_asked_for_in_vain() -> None:
    """Else a macaroon is called whole that cannot do all, or the baked one lacks what a feature asks for."""
    assert frozenset().union(*NEEDS.values()) == set(required_methods())


def test_a_macaroon_that_is_baked_may_hold_others_payments_only_where_channels_are_sold_just_in_time() -> None:
    left_out = {method.rpartition("/")[2] for method in {*to_bake(just_in_time=True)} - {*to_bake()}}
    assert left_out == {
        "HtlcInterceptor", "XAddLocalChanAliases", "XDeleteLocalChanAliases", "GetDebugInfo", "ListAliases",
    }  # fmt: skip
    assert set(to_bake(just_in_time=True, waking=True)) == set(required_methods())


@pytest.mark.parametrize("feature", Feature)
def test_who_has_all_rights_has_every_feature(feature: Feature) -> None:
    assert rights.lacking(feature, FakeNode()) == ""


def test_a_macaroon_without_one_right_lacks_the_features_that_need_it_and_no_other() -> None:
    node = Limited(HEARING)
    assert [feature for feature in Feature if rights.lacking(feature, node)] == [Feature.ONCHAIN]
    assert rights.lacking(Feature.ONCHAIN, node) == HEARING


def test_a_macaroon_that_may_not_ask_has_none_and_it_says_so() -> None:
    node = Limited(*required_methods())
    assert rights.lacking(Feature.ONCHAIN, node) == "/lnrpc.Lightning/CheckMacaroonPermissions"


def test_a_method_that_the_node_has_not_is_a_right_that_is_missing() -> None:
    node: Any = FakeNode()

    def allows(method: str) -> bool:
        if method == HEARING:
            raise NotFound("unknown_method")
        return True

    node.allows = allows
    assert rights.lacking(Feature.ONCHAIN, node) == HEARING


def test_another_macaroon_is_noticed_within_a_minute_and_nobody_asks_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(rights.time, "monotonic", lambda: clock[0])
    node = Limited(HEARING)
    assert rights.lacking(Feature.ONCHAIN, node) == HEARING
    node.refused.clear()
    asked = len(node.asked)
    assert rights.lacking(Feature.ONCHAIN, node) == HEARING and len(node.asked) == asked
    clock[0] += 61
    assert rights.lacking(Feature.ONCHAIN, node) == ""


def test_a_node_that_is_away_is_no_missing_right() -> None:
    node: Any = FakeNode()

    def allows(method: str) -> bool:
        raise NodeUnavailable("away")

    node.allows = allows
    with pytest.raises(NodeUnavailable):
        rights.lacking(Feature.ONCHAIN, node)


def test_what_signs_in_the_nodes_name_is_baked_only_for_who_wakes_wallets() -> None:
    assert {*to_bake(waking=True)} - {*to_bake()} == {"/lnrpc.Lightning/SignMessage"}
    assert {feature for feature, needs in NEEDS.items() if "/lnrpc.Lightning/SignMessage" in needs} == {Feature.WAKING}
