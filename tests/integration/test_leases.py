"""What a close of ours means for the buyer's money, and leases that become longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import OutcomeUnknown
from orders import actors, leases, queries
from orders.causes import Cause, FlagKind
from orders.errors import InvalidField, NotPossible
from orders.models import ChannelClosing, ChannelOrder, ClosingKind, Refund
from orders.operations import closing, leasing
from orders.states import ClosingState, OrderState
from tests.closing import ADA, HEIGHT, ClosingNode, look, sold
from tests.factories import SnapshotFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


# Whose money


def closed(order: ChannelOrder, node: ClosingNode, height: int) -> list[tuple[str, int]]:
    look(order, node)
    node.over(height=height)
    order = look(order, node)
    assert order.state == OrderState.CLOSED
    return [(row.cause, row.amount_sat) for row in Refund.objects.filter(order=order)]


def test_a_close_after_the_lease_is_nobodys_case_however_short_the_lease_was(node: ClosingNode, settings: Any) -> None:
    """With the grace longer than the lease it would be taken for an early one."""
    settings.EARLY_CLOSE_GRACE_SECONDS = 365 * 24 * 3600
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=actors.LSP)
    assert closed(order, node, HEIGHT + 3) == []
    assert not queries.order_or_raise(order.pk).standing


def test_a_lease_that_was_overridden_early_is_a_case_for_the_whole_fee(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=0)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="A mistake.", actor=ADA)
    assert closed(order, node, 801 + 10) == [(Cause.CLOSED_EARLY, order.fee_total_sat)]
    assert [flag.kind for flag in queries.order_or_raise(order.pk).standing] == [FlagKind.CLOSED_EARLY]


def test_and_later_for_the_share_of_the_time_that_was_left(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=3)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="A mistake.", actor=ADA)
    assert closed(order, node, 801 + 3 * 1008) == [(Cause.CLOSED_EARLY, order.fee_total_sat // 2)]


def test_a_forced_close_in_its_place_leaves_the_override_that_the_node_may_have_begun_a_case(node: ClosingNode) -> None:
    """The lease's time is over by then, and the node closes it as it was asked to before that."""
    order = sold(node, weeks_ago=3)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="A mistake.", actor=ADA)
    node.answers = [OutcomeUnknown("deadline")]
    look(order, node)
    ChannelOrder.objects.update(lease_ends_at=timezone.now())
    closing.force(order.pk, reason="He never comes.", actor=ADA)
    assert closed(order, node, 801 + 3 * 1008) == [(Cause.CLOSED_EARLY, order.fee_total_sat // 2)]


def test_one_that_was_never_asked_leaves_nothing_behind(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=3)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="A mistake.", actor=ADA)
    ChannelOrder.objects.update(lease_ends_at=timezone.now())
    closing.force(order.pk, reason="He never comes.", actor=ADA)
    assert not ChannelClosing.objects.get(state=ClosingState.WAITING).overrides_lease


def test_what_the_peer_closes_during_the_lease_is_his_own_doing_also_when_we_had_wanted_it(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=3)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="A mistake.", actor=ADA)
    node.answers = [OutcomeUnknown("deadline")]
    look(order, node)
    node.goes_away(node.open[0].outpoint)
    look(order, node)
    node.over("remote_force_close", by_us=False, height=801 + 3 * 1008)
    assert look(order, node).state == OrderState.CLOSED
    assert not Refund.objects.exists()


# Longer leases


def test_a_gift_makes_the_lease_longer_and_keeps_who_gave_it_and_why(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=2)
    before = order.lease_ends_at
    order = leasing.extend(order.pk, days=14, reason="We were down.", actor=ADA)
    assert order.lease_ends_height == HEIGHT + 14 * 144
    assert order.lease_ends_at == before + timedelta(days=14)
    event = order.events.get(cause=Cause.LEASE_EXTENDED)
    assert (event.actor, event.facts["days"], event.facts["reason"]) == ("staff:ada", 14, "We were down.")


def test_a_gift_takes_back_a_close_that_waits_and_comes_too_late_for_one_that_may_have_begun(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    leasing.extend(order.pk, days=14, reason="He asked for it.", actor=ADA)
    assert ChannelClosing.objects.get().state == ClosingState.WITHDRAWN
    order = queries.order_or_raise(order.pk)
    assert not leases.is_over(order, height=HEIGHT, now=timezone.now())
    other = sold(node)
    closing.close(other.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [OutcomeUnknown("deadline")]
    look(other, node)
    with pytest.raises(NotPossible, match="may have begun"):
        leasing.extend(other.pk, days=1, reason="Too late.", actor=ADA)


@pytest.mark.parametrize("days", [0, -1, leasing.MOST_DAYS + 1])
def test_no_lease_is_made_shorter_nor_longer_without_end(node: ClosingNode, days: int) -> None:
    order = sold(node)
    with pytest.raises(InvalidField):
        leasing.extend(order.pk, days=days, reason="No.", actor=ADA)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "0", "٣", "99999999999", "1e3", "731"])
def test_days_are_typed_as_whole_numbers(text: str) -> None:
    with pytest.raises(InvalidField):
        leasing.read_days(text)
