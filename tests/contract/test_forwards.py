"""What our node has passed on for others, as it tells it: the oldest first, from a second on, page by page."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from lightning.node import LndNode
from lightning.types import Forward
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

SECOND = 10**9
AMOUNT_SAT = 2_000
#: LND's own policy where nobody has set another: 1 sat, and a millionth.
FEE_MSAT = 1_000 + AMOUNT_SAT // 1_000


def point_with(lsp: Any, other: Any) -> str:
    return next(each.channel_point for each in lsp.channels() if each.remote_pubkey == other.pubkey)


def pass_on(network: Any, peer: Any) -> None:
    """The buyer has paid the peer, through our node."""
    if isinstance(network, SimulatedNetwork):
        ends = [point_with(network.lsp, each) for each in (network.buyer, peer)]
        network.lsp.control.forward(*ends, out_msat=AMOUNT_SAT * 1000, fee_msat=FEE_MSAT)
    else:
        assert network.buyer.pay(peer.invoice(AMOUNT_SAT)).wait() == SUCCEEDED


@pytest.fixture
def passed(network: Any, node: LndNode, add_peer: Any) -> tuple[Forward, ...]:
    """Three payments, the last of them in a later second."""
    before = len(node.forwards(from_second=0, skip=0, most=1_000))
    peer = add_peer()
    network.lsp.open_channel(peer, 400_000)
    if not isinstance(network, SimulatedNetwork):
        until(lambda: network.buyer.has_route(peer, AMOUNT_SAT), "the buyer knows the peer", timeout=60)
    pass_on(network, peer)
    pass_on(network, peer)
    time.sleep(1.1)
    pass_on(network, peer)
    return node.forwards(from_second=0, skip=before, most=1_000)


def test_what_was_passed_on_is_told_at_once_with_what_came_and_what_went(
    network: Any, node: LndNode, passed: tuple[Forward, ...]
) -> None:
    by_point = {str(each.outpoint): each.short_channel_id for each in node.channels()}
    assert len(passed) == 3
    for each in passed:
        assert each.channel_in == by_point[point_with(network.lsp, network.buyer)]
        assert each.channel_out in by_point.values() and each.channel_out != each.channel_in
        assert (each.in_msat, each.out_msat) == (AMOUNT_SAT * 1000 + FEE_MSAT, AMOUNT_SAT * 1000)
        assert abs(each.at_ns / SECOND - time.time()) < 60


def test_no_two_are_of_the_same_moment_and_each_has_its_number_in_its_channel(passed: tuple[Forward, ...]) -> None:
    assert [each.at_ns for each in passed] == sorted({each.at_ns for each in passed})
    assert [each.htlc_out for each in passed] == [0, 1, 2]
    first = passed[0].htlc_in
    assert first is not None and [each.htlc_in for each in passed] == [first, first + 1, first + 2]


def test_they_are_told_from_a_second_on_and_page_by_page(node: LndNode, passed: tuple[Forward, ...]) -> None:
    second = passed[0].at_ns // SECOND
    later = node.forwards(from_second=second, skip=0, most=1_000)
    assert later == tuple(each for each in later if each.at_ns >= second * SECOND) and later[-3:] == passed
    assert node.forwards(from_second=passed[2].at_ns // SECOND, skip=0, most=9) == passed[2:]
    skip = len(later) - 3
    assert node.forwards(from_second=second, skip=skip, most=2) == passed[:2]
    assert node.forwards(from_second=second, skip=skip + 2, most=2) == passed[2:]
    assert node.forwards(from_second=second, skip=skip + 3, most=2) == ()
    assert node.forwards(from_second=passed[2].at_ns // SECOND + 1, skip=0, most=9) == ()


def test_the_same_question_has_the_same_answer(node: LndNode, passed: tuple[Forward, ...]) -> None:
    assert node.forwards(from_second=0, skip=0, most=1_000)[-3:] == passed
    assert replace(passed[0]) == passed[0]
