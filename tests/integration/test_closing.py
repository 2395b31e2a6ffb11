"""Closing a channel of ours: who may want it and when, and that it is asked of the node once and looked for first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from lightning import rights
from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown, PeerOffline, Rejected
from lightning.types import Outpoint
from orders import actors, queries
from orders.advance import advance
from orders.causes import Cause, FlagKind
from orders.errors import InvalidField, NotAllowed, NotPossible
from orders.models import ChannelClosing, ChannelOrder, ClosingKind, NodeSnapshot, SwitchName
from orders.openings import turns
from orders.operations import closing, pausing, shutdown
from orders.states import ClosingState, OrderState
from streams import hints
from tests.closing import ADA, HEIGHT, TXID, ClosingNode, journal, look, sold
from tests.factories import OrderFactory, SnapshotFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


# The guard


def test_during_the_lease_nobody_closes_it_but_who_overrides_that(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=2)
    for want in (closing.close, closing.force):
        with pytest.raises(NotPossible, match="promised until"):
            want(order.pk, reason="He is gone.", actor=ADA)
    assert not ChannelClosing.objects.exists()
    closing.override(order.pk, kind=ClosingKind.TOGETHER, reason="The court asks for it.", actor=ADA)
    row = ChannelClosing.objects.get()
    assert (row.overrides_lease, row.actor, row.reason) == (True, "staff:ada", "The court asks for it.")
    facts = order.events.get(cause=Cause.CLOSE_WANTED).facts
    assert facts["before_lease_ends"] is True and facts["reason"] == "The court asks for it."


@pytest.mark.parametrize(
    ("height", "weeks_ago", "is_over"), [(HEIGHT, 7, True), (HEIGHT - 1, 7, False), (HEIGHT, 5, False)]
)
def test_the_lease_is_over_only_when_its_blocks_and_its_time_are(
    node: ClosingNode, height: int, weeks_ago: int, is_over: bool
) -> None:
    """Blocks that come fast give the buyer no shorter time than he was told."""
    NodeSnapshot.objects.update(block_height=height)
    order = sold(node, weeks_ago=weeks_ago)
    assert bool(closing.why_not_closed(order, ClosingKind.TOGETHER, overriding=False)) is not is_over


def test_neither_the_server_nor_a_command_overrides_a_lease_and_the_server_forces_nothing(node: ClosingNode) -> None:
    order = sold(node, weeks_ago=2)
    for actor in (actors.LSP, actors.command("root")):
        with pytest.raises(NotAllowed):
            closing.override(order.pk, kind=ClosingKind.FORCED, reason="No.", actor=actor)
    with pytest.raises(NotAllowed):
        closing.force(order.pk, reason="No.", actor=actors.LSP)


def test_no_close_is_without_a_reason(node: ClosingNode) -> None:
    order = sold(node)
    with pytest.raises(InvalidField):
        closing.close(order.pk, reason="  ", actor=ADA)


@pytest.mark.parametrize("state", ["paid_lightning", "uri_set", "closed", "give_up", "closing"])
def test_what_has_no_channel_is_not_closed(node: ClosingNode, state: str) -> None:
    order = OrderFactory(**{state: True})
    assert closing.why_not_closed(queries.order_or_raise(order.pk), ClosingKind.FORCED, overriding=True)


def test_a_funding_in_no_block_is_not_closed(node: ClosingNode) -> None:
    order = OrderFactory(opening=True)
    assert closing.why_not_closed(queries.order_or_raise(order.pk), ClosingKind.FORCED, overriding=True)


def test_a_lease_that_was_extended_meanwhile_is_kept_whatever_was_wanted_before(node: ClosingNode) -> None:
    """As by another hand, past the operation: the guard stands before the node too."""
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    ChannelOrder.objects.update(lease_ends_at=timezone.now() + timedelta(days=1))
    order = look(order, node)
    assert not node.asked
    assert ChannelClosing.objects.get().state == ClosingState.WITHDRAWN and order.state == OrderState.OPEN


def test_control_without_the_guard_before_the_node_it_would_be_closed(
    node: ClosingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    ChannelOrder.objects.update(lease_ends_at=timezone.now() + timedelta(days=1))
    monkeypatch.setattr(closing, "lease_objection", lambda order, *, overriding: "")
    look(order, node)
    assert node.asked


# What is asked of the node


@pytest.mark.parametrize("force", [False, True])
def test_it_is_asked_once_and_followed_to_its_end(node: ClosingNode, force: bool) -> None:
    order = sold(node)
    (closing.force if force else closing.close)(order.pk, reason="Its lease is over.", actor=ADA)
    order = look(order, node)
    assert node.asked == [(Outpoint.parse(order.openings.get().funding_outpoint), force)]
    row = ChannelClosing.objects.get()
    assert (row.state, row.txid, order.state, order.closing_txid) == ("under_way", TXID, OrderState.CLOSING, TXID)
    for _ in range(3):
        order = look(order, node)
    node.over("local_force_close" if force else "cooperative_close")
    order = look(order, node)
    row.refresh_from_db()
    assert (row.state, order.state, len(node.asked)) == (ClosingState.DONE, OrderState.CLOSED, 1)
    assert journal(order)[-5:] == [
        "close_wanted", "close_begun", "closing_transaction_seen", "channel_closing", "channel_closed",
    ]  # fmt: skip


def test_the_intent_is_committed_before_the_node_is_asked(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    seen: list[tuple[str, bool]] = []
    node.on_call = lambda name: seen.append((name, ChannelClosing.objects.get().may_have_begun))
    look(order, node)
    assert ("close_channel", True) in seen and ("channels_with", False) in seen


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (PeerOffline("away", reason="PEER_NOT_REACHABLE"), "PEER_NOT_REACHABLE"),
        (Rejected("htlcs", reason="payments_under_way"), "payments_under_way"),
    ],
)
def test_what_cannot_be_closed_now_waits_with_pauses_and_says_why(
    node: ClosingNode, error: LightningError, trouble: str
) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [error, error]
    order = look(order, node)
    row = ChannelClosing.objects.get()
    assert (row.state, row.trouble, row.may_have_begun) == (ClosingState.WAITING, trouble, False)
    assert order.due_at is not None and order.due_at > timezone.now()
    advance(order.pk, node=node)  # type: ignore[arg-type]  # somebody looks before its time
    assert len(node.asked) == 1
    order = look(order, node)
    assert journal(order).count("close_postponed") == 1  # it says the same
    order = look(order, node)
    assert (len(node.asked), order.state) == (3, OrderState.CLOSING)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (Rejected("shutdown already initiated", reason="already_closing"), "already_closing"),
        (Rejected("low fees", reason="fee_too_low"), "fee_too_low"),
        (PeerOffline("it has gone"), "PeerOffline"),
    ],
)
def test_what_the_node_says_once_the_peer_may_have_its_signature_proves_nothing(
    node: ClosingNode, error: LightningError, trouble: str
) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [error]
    look(order, node)
    row = ChannelClosing.objects.get()
    assert (row.state, row.trouble, row.may_have_begun) == (ClosingState.WAITING, trouble, True)
    with pytest.raises(NotPossible, match="may have begun"):
        closing.withdraw(order.pk, actor=ADA)


def test_who_has_others_behind_him_waits_for_no_peer_and_leaves_the_close_to_who_may(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    advance(order.pk, node=node, turn=turns.NEVER)  # type: ignore[arg-type]
    row = ChannelClosing.objects.get()
    assert (node.asked, row.tries, row.may_have_begun) == ([], 0, False)
    assert queries.is_due(order.pk, timezone.now())
    assert queries.due_with_peers(timezone.now()) == [order.pk]  # without streams too
    assert look(order, node).state == OrderState.CLOSING


def test_a_forced_close_waits_for_no_peer_so_anybody_makes_it(node: ClosingNode) -> None:
    order = sold(node)
    closing.force(order.pk, reason="He never comes.", actor=ADA)
    assert queries.due_with_peers(timezone.now()) == []
    advance(order.pk, node=node, turn=turns.NEVER)  # type: ignore[arg-type]
    assert [force for _, force in node.asked] == [True]


def test_a_peer_that_comes_ends_the_pause(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [PeerOffline("away", reason="PEER_NOT_REACHABLE")]
    look(order, node)
    hints.peer_came(order.node_pubkey)
    assert queries.is_due(order.pk, timezone.now())


def test_a_lost_answer_is_looked_for_and_not_asked_again(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [OutcomeUnknown("deadline")]
    node.on_call = lambda name: node.goes_away(node.open[0].outpoint) if name == "close_channel" else None
    order = look(order, node)
    row = ChannelClosing.objects.get()
    assert (row.state, row.txid, order.state, len(node.asked)) == ("under_way", TXID, OrderState.CLOSING, 1)


def test_control_who_does_not_look_first_asks_a_closing_channel_again(
    node: ClosingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = sold(node)
    there = node.open[0]
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.goes_away(there.outpoint)
    monkeypatch.setattr(shutdown, "_open_channel", lambda closing, node: there)
    node.answers = [PeerOffline("away")]
    look(order, node)
    assert len(node.asked) == 1


def test_while_the_node_is_away_nothing_counts_as_begun(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.answers = [NodeUnavailable("starting", reason="NODE_NOT_READY")]
    look(order, node)
    row = ChannelClosing.objects.get()
    assert (row.state, row.may_have_begun) == (ClosingState.WAITING, False)


def test_what_cannot_be_closed_for_days_is_for_a_person_and_over_when_it_is_closing(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    ChannelClosing.objects.update(created_at=timezone.now() - timedelta(days=4))
    node.answers = [PeerOffline("away", reason="PEER_NOT_REACHABLE")]
    order = look(order, node)
    assert [flag.kind for flag in order.standing] == [FlagKind.CLOSE_STUCK]
    closing.force(order.pk, reason="He never comes.", actor=ADA)
    order = look(order, node)
    assert order.state == OrderState.CLOSING and not order.standing
    assert [row.state for row in ChannelClosing.objects.all()] == ["withdrawn", "under_way"]
    assert [force for _, force in node.asked] == [False, True]


def test_one_that_has_begun_gives_way_to_none(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    look(order, node)
    with pytest.raises(NotPossible):
        closing.force(order.pk, reason="Faster.", actor=ADA)
    with pytest.raises(NotPossible):
        closing.withdraw(order.pk, actor=ADA)


def test_two_who_want_it_at_once_want_one(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    with pytest.raises(NotPossible):
        closing.close(order.pk, reason="Its lease is over.", actor=actors.LSP)
    assert ChannelClosing.objects.count() == 1


def test_one_that_waits_is_taken_back_and_one_that_may_have_begun_is_not(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    closing.withdraw(order.pk, actor=ADA)
    look(order, node)
    assert not node.asked
    closing.close(order.pk, reason="After all.", actor=ADA)
    node.answers = [OutcomeUnknown("deadline"), PeerOffline("away")]
    look(order, node)
    for _ in range(2):
        with pytest.raises(NotPossible, match="may have begun"):
            closing.withdraw(order.pk, actor=ADA)
        look(order, node)  # what it says now proves nothing of what it did then


def test_what_the_peer_closes_while_ours_waits_is_his(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    pausing.pause(SwitchName.CLOSINGS, reason="wait", actor=ADA)
    node.goes_away(node.open[0].outpoint)
    order = look(order, node)
    assert (ChannelClosing.objects.get().state, order.state) == (ClosingState.WITHDRAWN, OrderState.CLOSING)


def test_without_the_right_nothing_is_asked_and_it_says_which(node: ClosingNode) -> None:
    rights._known.clear()
    node.allows = lambda method: not method.endswith("CloseChannel")  # type: ignore[method-assign]
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    look(order, node)
    row = ChannelClosing.objects.get()
    assert not node.asked and row.trouble == shutdown.NO_RIGHT and "CloseChannel" in row.detail


# The switch


def test_paused_nothing_is_closed_and_resumed_it_is_due_at_once(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    pausing.pause(SwitchName.CLOSINGS, reason="fees are high", actor=ADA)
    order = look(order, node)
    assert not node.asked and ChannelClosing.objects.get().trouble == shutdown.PAUSED
    ChannelOrder.objects.update(due_at=timezone.now() + timedelta(hours=1))
    pausing.resume(SwitchName.CLOSINGS, actor=ADA)
    assert queries.is_due(order.pk, timezone.now())
    assert look(order, node).state == OrderState.CLOSING


def test_a_pause_between_the_look_and_the_call_stops_it_too(node: ClosingNode) -> None:
    order = sold(node)
    closing.close(order.pk, reason="Its lease is over.", actor=ADA)
    node.on_call = lambda name: (
        pausing.pause(SwitchName.CLOSINGS, reason="stop", actor=ADA) if name == "channels_with" else None
    )
    look(order, node)
    assert not node.asked
