"""A close ends with the attempt whose channel it was wanted for, and closes no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from lightning.types import Outpoint, PendingPhase
from orders import queries
from orders.models import ChannelClosing, ChannelOrder, ClosingKind, WalletTransaction
from orders.openings import cancelling, following
from orders.operations import closing
from orders.states import ClosingState, OpeningState, OrderState, TransactionState
from tests.closing import ADA, HEIGHT, TXID, ClosingNode, journal, look, sold
from tests.factories import OpeningFactory, SnapshotFactory
from tests.scripted import channel, held, pending

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


def test_a_close_of_an_attempt_that_is_not_the_channel_any_more_is_never_asked(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    order.openings.update(state="failed")
    other = OpeningFactory(order=order, confirmed=True)
    node.open.append(channel(Outpoint.parse(other.funding_outpoint), order))
    look(order, node)
    assert not node.asked and ChannelClosing.objects.get().state == ClosingState.WITHDRAWN


@pytest.mark.parametrize("state", [ClosingState.WAITING, ClosingState.UNDER_WAY])
def test_it_is_taken_back_though_its_own_channel_is_nowhere_and_is_never_taken_for_the_other_ones(
    node: ClosingNode, state: ClosingState
) -> None:
    order, other = another_channel(node)
    ChannelClosing.objects.update(state=state, asked_at=timezone.now(), tries=1)
    order = look(order, node)
    row = ChannelClosing.objects.get()
    assert (row.state, row.detail) == (ClosingState.WITHDRAWN, "Its channel is another one.")
    node.pending.append(replace(pending(other, order), phase=PendingPhase.WAITING_CLOSE, closing_txid=TXID))
    node.open.clear()
    assert look(order, node).state == OrderState.CLOSING
    assert not node.asked and closing.why_not_withdrawn(order)


def test_a_close_of_another_channel_is_no_close_of_the_one_that_closes(node: ClosingNode) -> None:
    """As by another hand, between the two looks of one: the rows are followed by whose they are."""
    order, other = another_channel(node)
    ChannelClosing.objects.update(asked_at=timezone.now(), tries=1)
    node.open.clear()
    node.pending.append(replace(pending(other, order), phase=PendingPhase.WAITING_CLOSE, closing_txid=TXID))
    following.follow(order.pk, node)  # type: ignore[arg-type]
    order, row = queries.order_or_raise(order.pk), ChannelClosing.objects.get()
    assert order.state == OrderState.CLOSING and "close_withdrawn" in journal(order)
    assert (row.state, row.txid, row.detail) == (ClosingState.WITHDRAWN, "", "Its channel is another one.")


def another_channel(node: ClosingNode) -> tuple[ChannelOrder, Outpoint]:
    """Its close was wanted of a channel that came to nothing; it has another, which is open."""
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    order.openings.update(state=OpeningState.FAILED)
    outpoint = Outpoint.parse(OpeningFactory(order=order, confirmed=True).funding_outpoint)
    node.open[:] = [channel(outpoint, order)]
    return queries.order_or_raise(order.pk), outpoint


@pytest.mark.parametrize("is_asked", [False, True])
def test_of_a_channel_that_never_was_no_close_is_wanted_or_under_way(node: ClosingNode, is_asked: bool) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    if is_asked:
        look(order, node)
    order.openings.update(state=OpeningState.PUBLISHED)
    WalletTransaction.objects.update(state=TransactionState.PUBLISHED)
    node.open.clear()
    node.pending.clear()
    assert cancelling.begin(order.pk, reason="FUNDING_CONFLICT", conflict_is_deep=True)
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    order, row = queries.order_or_raise(order.pk), ChannelClosing.objects.get()
    assert (order.state, row.state) == (OrderState.CLOSED, ClosingState.WITHDRAWN)
    assert row.ended_at is not None and "close_withdrawn" in journal(order)


@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize(("is_paid", "then"), [(True, OrderState.URI_SET), (False, OrderState.GIVE_UP)])
def test_no_close_waits_for_ever_of_a_channel_that_was_undone_before_it_was_usable(
    node: ClosingNode, is_asked: bool, is_paid: bool, then: OrderState
) -> None:
    """Its order tries again, and may never have another channel: nobody would come back to the row."""
    order = sold(node, weeks_ago=0)
    ChannelOrder.objects.update(state=OrderState.OPENING, opened_at=None)
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="The court asks for it.", actor=ADA)
    if is_asked:
        ChannelClosing.objects.update(asked_at=timezone.now(), tries=1, state=ClosingState.UNDER_WAY)
    order.openings.update(state=OpeningState.PUBLISHED)
    WalletTransaction.objects.update(state=TransactionState.PUBLISHED)
    node.open.clear()
    if is_paid:
        node.by_hash[order.hold_invoice.payment_hash] = held(order)
    assert cancelling.begin(order.pk, reason="FUNDING_CONFLICT", conflict_is_deep=True)
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    order, row = queries.order_or_raise(order.pk), ChannelClosing.objects.get()
    assert (order.state, row.state, row.detail) == (then, ClosingState.WITHDRAWN, "There never was a channel.")
    assert row.ended_at is not None and "close_withdrawn" in journal(order)
