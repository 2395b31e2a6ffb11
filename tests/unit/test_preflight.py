"""What would keep a channel from opening: the rules, by facts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning.refusals import told_limits
from orders.preflight.rules import (
    DUST_SAT,
    MOST_SMALL_SAT,
    Asked,
    Facts,
    Finding,
    Past,
    commitment_sat,
    judge,
    reserve_sat,
)

ASKED = Asked("02" * 33, "203.0.113.9:9735", 1_000_000, 0, announced=False, announced_is_asked=True)
ALL_BITS = frozenset({19, 47, 51})


def past(reason: str, **more: Any) -> Past:
    return Past(**{"reason": reason, "announced": False, "capacity_sat": 1_000_000, "push_sat": 0, **more})


def found(asked: Asked, facts: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in judge(asked, facts)}


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert judge(ASKED, Facts()) == ()


def test_a_node_that_would_take_it_is_told_nothing() -> None:
    facts = Facts(past=(past(""),), connected=True, features=ALL_BITS, pending=0, channels=1, sat_per_kw=2500)
    assert judge(replace(ASKED, client_balance_sat=300_000), facts) == ()


class TestReach:
    def test_who_was_dialled_in_vain_is_not_there(self) -> None:
        [finding] = judge(ASKED, Facts(connected=False, dialled=True))
        assert (finding.code, finding.field, finding.is_sure) == ("PEER_NOT_REACHABLE", "node", True)

    def test_who_names_no_address_may_connect_yet(self) -> None:
        [finding] = judge(replace(ASKED, host=""), Facts(connected=False))
        assert not finding.is_sure and "address" in finding.message

    def test_who_was_not_dialled_because_others_were_is_told_nothing(self) -> None:
        assert judge(ASKED, Facts(connected=False)) == ()


class TestFeatures:
    @pytest.mark.parametrize(("capacity_sat", "bits", "is_found"), [
        (MOST_SMALL_SAT, set(), False), (MOST_SMALL_SAT + 1, set(), True),
        (MOST_SMALL_SAT + 1, {19}, False), (MOST_SMALL_SAT + 1, {18}, False),
    ])  # fmt: skip
    def test_without_wumbo_the_number_that_would_work_is_named(
        self, capacity_sat: int, bits: set[int], is_found: bool
    ) -> None:
        asked = replace(ASKED, lsp_balance_sat=capacity_sat)
        finding = found(asked, Facts(features=frozenset(bits))).get("CHAN_SIZE_TOO_BIG")
        assert (finding is not None) is is_found
        assert finding is None or (finding.field, finding.works) == ("capacity_sat", MOST_SMALL_SAT)

    @pytest.mark.parametrize(("bits", "is_found"), [({47, 51}, False), ({51}, True), ({47}, True), ({46, 50}, False)])
    def test_a_channel_before_its_block_needs_both_features(self, bits: set[int], is_found: bool) -> None:
        facts = Facts(features=frozenset(bits))
        assert ("FEATURE_MISSING" in found(replace(ASKED, zero_conf=True), facts)) is is_found
        assert "FEATURE_MISSING" not in found(ASKED, facts)
        assert not any(finding.is_sure for finding in judge(replace(ASKED, zero_conf=True), facts))


class TestSizes:
    def test_the_number_is_the_one_that_the_peer_has_told(self) -> None:
        facts = Facts(past=(past("CHAN_SIZE_TOO_SMALL", capacity_sat=200_000, least_sat=2_000_000),))
        assert found(ASKED, facts)["CHAN_SIZE_TOO_SMALL"].works == 2_000_000
        assert judge(replace(ASKED, lsp_balance_sat=2_000_000), facts) == ()

    def test_where_it_told_none_what_it_refused_is_one(self) -> None:
        facts = Facts(past=(past("CHAN_SIZE_TOO_BIG", capacity_sat=900_000),))
        assert found(ASKED, facts)["CHAN_SIZE_TOO_BIG"].works == 899_999

    def test_what_it_has_taken_since_is_no_trouble_any_more(self) -> None:
        refused = past("CHAN_SIZE_TOO_SMALL", capacity_sat=200_000, least_sat=2_000_000)
        assert judge(ASKED, Facts(past=(past("", capacity_sat=900_000), refused))) == ()
        assert judge(ASKED, Facts(past=(past("", capacity_sat=3_000_000), refused))) != ()


class TestAnnouncement:
    @pytest.mark.parametrize("reason", ["CHANNEL_REJECTED", "ANNOUNCEMENT_REJECTED"])
    def test_who_has_refused_a_public_one_would_take_an_unannounced_one(self, reason: str) -> None:
        asked = replace(ASKED, announced=True)
        finding = found(asked, Facts(past=(past(reason, announced=True),)))["ANNOUNCEMENT_REJECTED"]
        assert (finding.field, finding.works, finding.is_sure) == ("announced", False, True)

    def test_where_nobody_asked_for_a_public_one_it_goes_without_by_itself(self) -> None:
        asked = replace(ASKED, announced=True, announced_is_asked=False)
        assert judge(asked, Facts(past=(past("CHANNEL_REJECTED", announced=True),))) == ()

    def test_who_takes_none_but_public_ones_is_offered_that(self) -> None:
        finding = found(ASKED, Facts(past=(past("ANNOUNCEMENT_REJECTED"),)))["ANNOUNCEMENT_REJECTED"]
        assert finding.works is True

    def test_a_public_one_that_it_has_taken_since_counts(self) -> None:
        history = (past("", announced=True), past("CHANNEL_REJECTED", announced=True))
        assert judge(replace(ASKED, announced=True), Facts(past=history)) == ()

    def test_an_unannounced_one_that_it_has_taken_says_nothing_of_public_ones(self) -> None:
        history = (past(""), past("CHANNEL_REJECTED", announced=True))
        assert "ANNOUNCEMENT_REJECTED" in found(replace(ASKED, announced=True), Facts(past=history))


class TestRefused:
    def test_pushed_money_that_it_does_not_take_is_named(self) -> None:
        facts = Facts(past=(past("PEER_POLICY", push_sat=5),))
        finding = found(replace(ASKED, client_balance_sat=200_000), facts)["PEER_POLICY"]
        assert (finding.field, finding.works) == ("client_balance_sat", 0)
        assert judge(ASKED, facts) == ()

    def test_who_takes_nothing_from_us_is_told_so(self) -> None:
        assert found(ASKED, Facts(past=(past("PEER_POLICY"),)))["PEER_POLICY"].field == "node"

    def test_a_second_channel_is_refused_only_to_who_has_one(self) -> None:
        facts = Facts(past=(past("PEER_REJECT_MULTI_CHAN"),), channels=1)
        assert "PEER_REJECT_MULTI_CHAN" in found(ASKED, facts)
        assert judge(ASKED, replace(facts, channels=0)) == ()

    def test_words_that_say_nothing_are_a_warning_and_sure_only_when_just_said(self) -> None:
        assert not found(ASKED, Facts(past=(past("CHANNEL_REJECTED"),)))["CHANNEL_REJECTED"].is_sure
        assert found(ASKED, Facts(past=(past("CHANNEL_REJECTED", is_fresh=True),)))["CHANNEL_REJECTED"].is_sure

    def test_a_pending_channel_may_fill_its_place(self) -> None:
        finding = found(ASKED, Facts(pending=1))["PEER_TOO_MANY_PENDING_CHANNELS"]
        assert (finding.works, finding.is_sure) == (1, False)
        assert judge(ASKED, Facts(pending=0)) == ()


class TestReserve:
    def test_what_is_pushed_within_the_reserve_cannot_be_spent(self) -> None:
        finding = found(replace(ASKED, client_balance_sat=5_000), Facts())["WITHIN_RESERVE"]
        assert finding.field == "client_balance_sat" and not finding.is_sure
        assert isinstance(finding.works, int) and judge(replace(ASKED, client_balance_sat=finding.works), Facts()) == ()

    def test_our_side_pays_for_the_channels_own_transaction(self) -> None:
        asked = replace(ASKED, lsp_balance_sat=3_000)
        finding = found(asked, Facts(sat_per_kw=2500))["CHAN_SIZE_TOO_SMALL"]
        assert finding.is_sure and finding.works == commitment_sat(2500) + DUST_SAT + 1

    def test_fees_above_lnds_own_bound_change_nothing(self) -> None:
        assert commitment_sat(50_000) == commitment_sat(2_500) == 2_810 + 660


@given(
    lsp=st.integers(1, 10**9),
    client=st.integers(0, 10**9),
    announced=st.booleans(),
    facts=st.builds(
        Facts,
        past=st.lists(
            st.builds(
                Past,
                st.sampled_from(["", "CHAN_SIZE_TOO_SMALL", "CHAN_SIZE_TOO_BIG", "PEER_POLICY", "CHANNEL_REJECTED"]),
                st.booleans(), st.integers(20_000, 10**9), st.integers(0, 10**6),
                st.none() | st.integers(1, 10**9), st.none() | st.integers(1, 10**9), st.booleans(),
            ),
            max_size=4,
        ).map(tuple),
        features=st.none() | st.sets(st.sampled_from([19, 47, 51])).map(frozenset),
        sat_per_kw=st.integers(0, 100_000),
    ),
)  # fmt: skip
def test_what_is_said_to_work_is_not_refused_for_the_same_reason(
    lsp: int, client: int, announced: bool, facts: Facts
) -> None:
    asked = replace(ASKED, lsp_balance_sat=lsp, client_balance_sat=client, announced=announced)
    for finding in judge(asked, facts):
        if finding.works is None or finding.field == "node":
            continue
        better = _changed(asked, finding)
        if better is not None:
            again = [each for each in judge(better, facts) if (each.code, each.field) == (finding.code, finding.field)]
            assert all(each.works != finding.works for each in again), (finding, again)


def _changed(asked: Asked, finding: Finding) -> Asked | None:
    if finding.field == "announced":
        return replace(asked, announced=bool(finding.works))
    assert isinstance(finding.works, int)
    if finding.field == "client_balance_sat":
        return replace(asked, client_balance_sat=finding.works)
    ours = finding.works - asked.client_balance_sat
    return replace(asked, lsp_balance_sat=ours) if ours > 0 else None


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("chan size of 0.0002 BTC is below min chan size of 0.005 BTC", (500_000, None)),
        ("chan size of 1000 BTC exceeds maximum chan size of 10 BTC", (None, 1_000_000_000)),
        ("invalid funding_amount=100000 sat (min=400000 sat)", (400_000, None)),
        ("Funding satoshis (500000) is less than the user specified limit (1000000)", (1_000_000, None)),
        ("chan size of 1 BTC is below min chan size of 99999999999999999999 BTC", (None, None)),
        ("is below min chan size of 1.2.3 BTC", (None, None)),
        ("is below min chan size of ١ BTC", (None, None)),
        ("(min=0 sat", (None, None)),
        ("no reason at all", (None, None)),
        ("", (None, None)),
    ],
)
def test_the_limits_that_a_peer_tells_are_read_without_trusting_it(words: str, limits: Any) -> None:
    assert told_limits(words) == limits


@given(st.text(max_size=200))
def test_no_words_of_a_peer_break_the_reading(words: str) -> None:
    told_limits(f"is below min chan size of {words} BTC (min={words} sat max={words} sat")


@pytest.mark.parametrize("capacity_sat", [20_000, 57_300, 1_000_000])
def test_a_reserve_is_a_hundredth_and_never_dust(capacity_sat: int) -> None:
    assert reserve_sat(capacity_sat) == max(DUST_SAT, capacity_sat // 100)
