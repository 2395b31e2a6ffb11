"""A node may have thousands of channels and a million invoices at rest: who asks for one order asks of that order.

What is proven absent for it is proven as before: each list that is not asked for any more has a control.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from lightning import shared
from lightning.errors import NodeUnavailable
from lightning.types import Channel, ClosedChannel, Invoice, Lease, NodeInvoiceState, Outpoint, Peer, PendingPhase
from orders import marks, queries, reconcile, recovering
from orders.advance import advance
from orders.causes import PauseCause
from orders.models import ChannelOpening, ChannelOrder, NodeSnapshot, SwitchEvent, SwitchName, TransactionKind
from orders.openings import cancelling, tracing
from orders.payments.lightning import looking
from orders.preflight import looking as preflight
from orders.preflight.rules import Asked
from orders.states import OpeningState, OrderState
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey, txid
from tests.fakes import FakeNode
from tests.scripted import ScriptedNode, channel, held, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)

#: What grows with all that a node ever had.
WHOLE = {"channels", "closed_channels"}
POINT = Outpoint(txid("lost"), 0)


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def look(order: ChannelOrder, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    node.calls.clear()
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def of(order: ChannelOrder) -> tuple[ChannelOpening, Outpoint]:
    opening = order.openings.select_related("transaction").get()
    return opening, Outpoint.parse(opening.funding_outpoint)


# An order's own channel


def test_an_open_order_asks_for_the_channels_of_its_peer_alone(node: ScriptedNode) -> None:
    order: Any = OrderFactory(open=True)
    node.open = [channel(of(order)[1], order)]
    assert look(order, node).state == OrderState.OPEN
    assert "channels_with" in node.calls and not WHOLE & set(node.calls)


def test_who_has_named_many_nodes_makes_ours_read_its_channels_once(node: ScriptedNode) -> None:
    order: Any = OrderFactory(uri_set=True, node_pubkey=pubkey(1))
    for number in range(2, 12):
        OpeningFactory(order=order, state=OpeningState.FAILED, node_pubkey=pubkey(number))
    node.open = [replace(channel(POINT, order), peer_pubkey=pubkey(11))]
    trace = tracing.find_trace(order, node)  # type: ignore[arg-type]
    assert trace is not None and trace.outpoint == POINT
    assert (node.calls.count("channels"), node.calls.count("channels_with")) == (1, 0)


@pytest.mark.parametrize(("confirmations", "is_found"), [(0, True), (1, False)])
def test_a_channel_that_may_be_used_before_it_is_published_is_looked_for_whoever_it_is_with(
    node: ScriptedNode, confirmations: int, is_found: bool
) -> None:
    """Nothing else tells of it: no label, and its coins may not be leased any more."""
    order: Any = OrderFactory(uri_set=True, node_pubkey=pubkey(1), required_channel_confirmations=confirmations)
    node.open = [replace(channel(POINT, order), peer_pubkey=pubkey(2))]
    assert (tracing.find_trace(order, node) is not None) is is_found  # type: ignore[arg-type]


def test_a_channel_that_is_over_is_found_among_all_that_are(node: ScriptedNode) -> None:
    order: Any = OrderFactory(open=True)
    node.closed = [ClosedChannel(of(order)[1], order.node_pubkey, 1, 1, "cc" * 32, 790, "cooperative_close", False)]
    assert look(order, node).state == OrderState.CLOSED


def test_the_channel_of_an_adopted_attempt_is_found_whoever_it_is_with(node: ScriptedNode) -> None:
    """Adopted by its transaction alone: whom it is with our records only believe."""
    order: Any = OrderFactory(open=True)
    opening, point = of(order)
    node.open = [replace(channel(point, order), peer_pubkey=pubkey(77))]
    assert tracing.open_channel(opening, node) is None  # type: ignore[arg-type]  # we asked the other one for it
    opening.pending_chan_id = b""
    assert tracing.open_channel(opening, node) is not None  # type: ignore[arg-type]


# Traces of what our records have lost


def claimed(node: ScriptedNode, **fields: Any) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(uri_set=True, **fields)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    return order


def usable_with_another(node: ScriptedNode, order: ChannelOrder) -> Channel:
    """A zero-conf channel whose funding nobody has published, of a claim that our records have lost."""
    lost = replace(channel(POINT, order), peer_pubkey=pubkey(77), zero_conf=True)
    node.open = [lost]
    return lost


def lease_of(order: ChannelOrder) -> Lease:
    return Lease(Outpoint(txid("coin"), 0), marks.lock_id(order.pk), 2_000_000_000, b"\x00\x14" + b"\x01" * 20, 700_000)


def found_behind() -> None:
    SwitchEvent.objects.create(
        name=SwitchName.OPENINGS, on=False, cause=PauseCause.BEHIND, reason="behind", at=timezone.now(), actor="lsp"
    )


def trace(order: ChannelOrder, node: ScriptedNode) -> tracing.Trace | None:
    return tracing.find_trace(order, node)  # type: ignore[arg-type]


def test_who_left_no_trace_is_looked_for_with_its_peers_and_among_what_moves(node: ScriptedNode) -> None:
    order = claimed(node)
    assert trace(order, node) is None
    assert not WHOLE & set(node.calls)
    assert {"channels_with", "pending_channels", "transactions", "leases"} <= set(node.calls)


def test_a_lost_channel_with_another_node_is_found_by_the_coins_that_are_leased_for_it(node: ScriptedNode) -> None:
    order = claimed(node)
    lost = usable_with_another(node, order)
    assert trace(order, node) is None  # the control: nothing says that there is one
    node.leased = [lease_of(order)]
    found = trace(order, node)
    assert found is not None and found.channel == lost


def test_once_our_records_were_behind_all_channels_are_asked_for(node: ScriptedNode) -> None:
    """Leases run out after a day; a backup may be older."""
    order = claimed(node)
    lost = usable_with_another(node, order)
    found_behind()
    found = trace(order, node)
    assert found is not None and found.channel == lost
    newer = claimed(node)
    node.calls.clear()
    assert trace(newer, node) is None and not WHOLE & set(node.calls)


def test_a_lost_funding_is_adopted_with_the_node_that_its_channel_is_with(node: ScriptedNode) -> None:
    order = claimed(node)
    usable_with_another(node, order)
    node.wallet[POINT.txid] = unmined(POINT.txid, label=marks.label(TransactionKind.FUNDING, order.pk))
    assert look(order, node).state == OrderState.OPEN
    assert of(order)[0].node_pubkey == pubkey(77)


def test_what_was_closed_is_asked_for_only_where_an_earlier_attempt_has_an_outpoint(node: ScriptedNode) -> None:
    order = claimed(node)
    failed: Any = OpeningFactory(order=order, state=OpeningState.FAILED, node_pubkey=pubkey(5))
    point = Outpoint.parse(failed.funding_outpoint)
    node.closed = [ClosedChannel(point, pubkey(5), 1, 1, "cc" * 32, 790, "cooperative_close", False)]
    found = trace(order, node)
    assert found is not None and found.outpoint == point


def test_a_channel_with_the_node_of_an_earlier_attempt_is_found(node: ScriptedNode) -> None:
    order = claimed(node)
    failed: Any = OpeningFactory(order=order, state=OpeningState.FAILED, node_pubkey=pubkey(5))
    node.open = [replace(channel(Outpoint.parse(failed.funding_outpoint), order), peer_pubkey=pubkey(5), memo="")]
    assert trace(order, node) is not None
    assert "channels" not in node.calls


def test_nothing_is_freed_of_an_attempt_that_our_records_know_nothing_of(node: ScriptedNode) -> None:
    """They say that it is being cancelled with one node; the truth is a usable channel with another."""
    order = claimed(node)
    OpeningFactory(order=order, state=OpeningState.CANCELLING, node_pubkey=order.node_pubkey, transaction=None)
    usable_with_another(node, order)
    node.leased = [lease_of(order)]
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    assert "release" not in node.calls


def test_control_without_that_look_its_coins_are_freed(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = claimed(node)
    OpeningFactory(order=order, state=OpeningState.CANCELLING, node_pubkey=order.node_pubkey, transaction=None)
    usable_with_another(node, order)
    node.leased = [lease_of(order)]
    monkeypatch.setattr(tracing, "_may_be_with_anybody", lambda *given, **more: False)
    monkeypatch.setattr(node, "release", lambda point, lock_id: node.leased.clear())
    cancelling.finish(order.pk, node)  # type: ignore[arg-type]
    assert node.leased == []


# Each minute


def a_minute(node: ScriptedNode, *, blocks: int = 0) -> set[Any]:
    node.calls.clear()
    seen = NodeSnapshot.objects.get()
    seen.block_height += blocks
    seen.save()
    return reconcile._channels_that_differ(node, seen)  # type: ignore[arg-type]


def test_all_channels_are_listed_at_the_start_and_not_each_minute(node: ScriptedNode) -> None:
    order: Any = OrderFactory(open=True)
    node.open = [channel(of(order)[1], order)]
    assert a_minute(node) == set() and node.calls.count("channels") == 1
    assert a_minute(node) == set() and node.calls == ["pending_channels"]


def test_what_they_hold_is_remembered_from_the_list_of_all(node: ScriptedNode) -> None:
    order: Any = OrderFactory(open=True)
    node.open = [channel(of(order)[1], order)]
    a_minute(node)
    assert NodeSnapshot.objects.get().local_balance_sat == order.lsp_balance_sat


@pytest.mark.parametrize("phase", [PendingPhase.WAITING_CLOSE, PendingPhase.FORCE_CLOSING], ids=str)
def test_a_channel_that_begins_to_close_is_seen_the_next_minute(node: ScriptedNode, phase: PendingPhase) -> None:
    order: Any = OrderFactory(open=True)
    node.open = [channel(of(order)[1], order)]
    a_minute(node)
    node.open, node.pending = [], [replace(pending(of(order)[1], order), phase=phase)]
    assert a_minute(node) == {order.pk}
    assert "channels" not in node.calls


def test_a_channel_that_has_closed_is_seen_the_next_minute(node: ScriptedNode) -> None:
    order: Any = OrderFactory(closing=True)
    node.pending = [replace(pending(of(order)[1], order), phase=PendingPhase.WAITING_CLOSE)]
    assert a_minute(node) == set() and a_minute(node) == set()
    node.pending = []
    assert a_minute(node) == {order.pk}
    assert "channels" not in node.calls


def test_a_channel_that_has_opened_is_seen_the_next_minute(node: ScriptedNode) -> None:
    order: Any = OrderFactory(opening=True)
    node.pending = [pending(of(order)[1], order)]
    assert a_minute(node) == set() and a_minute(node) == set()
    node.open, node.pending = [channel(of(order)[1], order)], []
    assert a_minute(node) == {order.pk}
    assert "channels" not in node.calls


@pytest.mark.parametrize("seconds, blocks", [(600, 0), (0, 2), (0, -1)])
def test_a_channel_that_came_to_its_end_unseen_is_seen_once_all_are_listed(
    node: ScriptedNode, seconds: int, blocks: int
) -> None:
    order: Any = OrderFactory(open=True)
    node.open = [channel(of(order)[1], order)]
    a_minute(node)
    node.open = []
    assert a_minute(node, blocks=1) == set()
    reconcile.listed.all_at -= seconds
    assert a_minute(node, blocks=blocks) == {order.pk}


# Invoices


def test_few_invoices_are_asked_for_by_hash_and_nothing_is_listed(node: ScriptedNode) -> None:
    order: Any = OrderFactory(paid_lightning=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.CANCELED)
    node.pending_invoices = None  # type: ignore[assignment]
    assert looking._invoices_that_differ(node) == {order.pk}  # type: ignore[arg-type]


def test_an_invoice_that_the_node_has_not_differs(node: ScriptedNode) -> None:
    order: Any = OrderFactory(paid_lightning=True)
    assert looking._invoices_that_differ(node) == {order.pk}  # type: ignore[arg-type]


def test_one_that_stays_for_months_makes_nobody_read_all_since() -> None:
    recent = {f"recent-{number}": 999_000 + number for number in range(500)}
    assert looking.split({"months old": 17} | recent, newest=1_000_000) == (["months old"], 998_999)


def test_many_that_were_added_together_are_listed() -> None:
    together = {str(number): 1_000 + number for number in range(5_000)}
    assert looking.split(together, newest=7_000) == ([], 999)


def test_old_ones_are_asked_for_by_hash_also_where_none_of_ours_is_recent() -> None:
    old = {str(number): 1_000 + number for number in range(100)}
    oldest, listed_after = looking.split(old, newest=1_000_000)
    assert len(oldest) == 100 and listed_after == 0


def test_among_many_each_is_found_wherever_it_was_asked_for(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a dozen, one is months old, and was returned; of the others one was."""
    monkeypatch.setattr(node, "newest_add_index", lambda: 1_000_020)
    orders: list[Any] = [OrderFactory(paid_lightning=True) for _ in range(12)]
    for number, order in enumerate(orders):
        type(order.hold_invoice).objects.filter(pk=order.hold_invoice.pk).update(
            add_index=1_000_000 + number if number else 5
        )
        node.by_hash[order.hold_invoice.payment_hash] = held(order)
    assert looking._invoices_that_differ(node) == set()  # type: ignore[arg-type]
    gone = [orders[0], orders[7]]
    for order in gone:
        node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.CANCELED)
    assert looking._invoices_that_differ(node) == {order.pk for order in gone}  # type: ignore[arg-type]


def test_a_process_that_starts_reads_the_invoices_of_the_last_day(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def listed(*, after_add_index: int) -> tuple[Invoice, ...]:
        asked.append(after_add_index)
        return ()

    monkeypatch.setattr(node, "pending_invoices", listed)
    for height, index in ((100, 10), (600, 20), (700, 25), (800, 30)):
        order: Any = OrderFactory(created_height=height)
        type(order.hold_invoice).objects.filter(pk=order.hold_invoice.pk).update(add_index=index)
    recovering.suspicions(node)  # type: ignore[arg-type]
    assert asked == [20]  # the newest order was made at 800: what was lost was added after that of 600


# Strangers


@pytest.fixture
def fake(transactional_db: None) -> FakeNode:
    return FakeNode()


def quotes(fake: FakeNode, times: int) -> None:
    for number in range(times):
        asked = Asked(pubkey(number + 1), "", 500_000, 0, announced=False, announced_is_asked=False)
        preflight.looked_at(asked, fake, f"client-{number}")  # type: ignore[arg-type]


def test_however_many_name_a_node_its_lists_are_asked_for_once(fake: FakeNode) -> None:
    fake.connected_peers = [Peer(pubkey(number + 1), "10.0.0.1:9735", inbound=True) for number in range(20)]
    quotes(fake, 20)
    assert (fake.calls.count("peers"), fake.calls.count("pending_channels")) == (1, 1)
    assert "channels" not in fake.calls


@pytest.mark.parametrize("host", ["", "10.0.0.1:9735"])
def test_who_has_connected_since_others_were_told_is_not_said_to_be_away(fake: FakeNode, host: str) -> None:
    quotes(fake, 1)
    fake.connected_peers = [Peer(pubkey(1), "10.0.0.1:9735", inbound=True)]
    asked = Asked(pubkey(1), host, 500_000, 0, announced=False, announced_is_asked=False)
    assert preflight.looked_at(asked, fake, "client").connected  # type: ignore[arg-type]


def test_control_where_another_is_waited_for_the_list_may_be_as_old_as_the_pause(fake: FakeNode) -> None:
    quotes(fake, 1)
    fake.connected_peers = [Peer(pubkey(1), "10.0.0.1:9735", inbound=True)]
    asked = Asked(pubkey(1), "", 500_000, 0, announced=False, announced_is_asked=False)
    with preflight._listing:
        assert not preflight.looked_at(asked, fake, "client").connected  # type: ignore[arg-type]
    assert fake.calls.count("peers") == 1


def test_who_waits_for_the_list_and_who_waits_for_a_dial_keep_each_other_from_nothing(fake: FakeNode) -> None:
    quotes(fake, 1)
    fake.connected_peers = [Peer(pubkey(1), "10.0.0.1:9735", inbound=True)]
    by_list = Asked(pubkey(1), "", 500_000, 0, announced=False, announced_is_asked=False)
    by_dial = Asked(pubkey(2), "10.0.0.2:9735", 500_000, 0, announced=False, announced_is_asked=False)
    with preflight._waiting:
        assert preflight.looked_at(by_list, fake, "client").connected  # type: ignore[arg-type]
    with preflight._listing:
        assert preflight.looked_at(by_dial, fake, "another").dialled  # type: ignore[arg-type]


def test_who_waits_for_an_answer_to_others_waits_no_longer_than_for_his_own(fake: FakeNode) -> None:
    with shared._peers._lock, pytest.raises(NodeUnavailable):
        shared.peer(pubkey(1), fake, seconds=0.01)  # type: ignore[arg-type]


def test_control_what_may_be_of_no_age_is_asked_for_by_each(fake: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_SECONDS", -1.0)
    quotes(fake, 20)
    assert fake.calls.count("pending_channels") == 20
