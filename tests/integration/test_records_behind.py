"""Our records are behind the node's: no money goes back for what was delivered, whoever has paused, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import Outpoint
from orders import actors, marks, queries, recovering
from orders.advance import advance
from orders.barring import BanKind
from orders.causes import Cause, FlagKind
from orders.errors import NotPossible
from orders.models import ChannelOrder, HoldInvoice, SwitchEvent, SwitchName, TransactionKind
from orders.operations import banning, ending, pausing
from orders.states import InvoiceState, OrderState
from tests.factories import OrderFactory, SnapshotFactory, txid
from tests.scripted import ScriptedNode, held, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)

STAFF = actors.staff("ada")


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def delivered(node: ScriptedNode, **order: Any) -> ChannelOrder:
    """As a backup has it whose funding was published a moment later."""
    made: ChannelOrder = OrderFactory(uri_set=True, **order)
    if made.invoice is not None:
        node.by_hash[made.invoice.payment_hash] = held(made)
    node.pending = [pending(Outpoint(txid("real"), 0), made)]
    return made


def look(order: ChannelOrder, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def paused_by_staff() -> None:
    for name in SwitchName:
        pausing.pause(name, reason="Maintenance", actor=STAFF)


def test_records_are_behind_although_staff_had_paused_before(node: ScriptedNode) -> None:
    order = delivered(node)
    paused_by_staff()
    assert recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert pausing.is_behind()
    with pytest.raises(NotPossible, match="recover"):
        ending.cancel(order.pk, actor=STAFF)
    switch = queries.paused(SwitchName.OPENINGS)
    assert switch is not None and switch.reason == "Maintenance"


def test_what_was_given_up_by_older_records_has_its_channel_though_its_node_is_listed_since(node: ScriptedNode) -> None:
    """Else the payment that the node holds for it would run out, and the channel be unpaid."""
    order = OrderFactory(give_up=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    real = Outpoint(txid("real"), 0)
    node.pending = [pending(real, order)]
    node.wallet[real.txid] = unmined(real.txid, label=marks.label(TransactionKind.FUNDING, order.pk))
    banning.add(BanKind.NODE, order.node_pubkey, reason="On a list.", actor=STAFF)
    recovering.adopt(recovering.survey(node), node, actor=actors.command("bob"))  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == OrderState.OPENING


def test_and_when_staff_have_given_the_pause_another_reason_since(node: ScriptedNode) -> None:
    delivered(node)
    recovering.pause_if_behind(node)  # type: ignore[arg-type]
    paused_by_staff()
    assert pausing.is_behind()


def test_once_they_are_seen_to_they_are_behind_no_more_and_staffs_pause_stays(node: ScriptedNode) -> None:
    delivered(node)
    paused_by_staff()
    recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert recovering.resume(actor=actors.command("bob")) == list(SwitchName)
    assert not pausing.is_behind() and queries.paused(SwitchName.OPENINGS) is not None
    rows = SwitchEvent.objects.filter(name=SwitchName.OPENINGS)
    assert list(rows.values_list("on", "cause")) == [(False, "staff"), (False, "behind"), (True, "behind")]


def left_by(node: ScriptedNode, *names: SwitchName) -> None:
    """The node has a channel that we do not know; these switches were put off for it, and staff have resumed."""
    delivered(node)
    recovering.pause_if_behind(node)  # type: ignore[arg-type]
    SwitchEvent.objects.exclude(name__in=names).delete()
    for name in SwitchName:
        pausing.resume(name, actor=STAFF)


def test_a_switch_that_did_not_exist_when_staff_were_told_pauses_no_shop_once_more(node: ScriptedNode) -> None:
    """They knew of the channel, and have left it, before the server had one switch more."""
    left_by(node, SwitchName.SALES, SwitchName.OPENINGS)
    assert not recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert queries.paused(SwitchName.SALES) is None


@pytest.mark.parametrize("told", [1, 2])
def test_a_process_that_died_between_its_pauses_leaves_the_rest_to_the_next(
    node: ScriptedNode, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered(node)
    real, left = pausing.pause_behind, iter(range(told))

    def dies(name: SwitchName, **given: Any) -> None:
        next(left)
        real(name, **given)

    with monkeypatch.context() as patched, pytest.raises(StopIteration):
        patched.setattr(pausing, "pause_behind", dies)
        recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert {name for name in SwitchName if queries.paused(name)} == set(SwitchName)
    assert not recovering.pause_if_behind(node)  # type: ignore[arg-type]


def test_who_resumes_by_hand_has_seen_to_it(node: ScriptedNode) -> None:
    delivered(node)
    paused_by_staff()
    recovering.pause_if_behind(node)  # type: ignore[arg-type]
    pausing.resume(SwitchName.OPENINGS, actor=STAFF)
    assert not pausing.is_behind()


def test_what_was_cancelled_before_anybody_knew_is_kept_and_told(node: ScriptedNode) -> None:
    """Staff cancel in the minute between a fail-over and the first look."""
    order = delivered(node)
    ending.cancel(order.pk, actor=STAFF)
    order = look(order, node)
    assert "cancel_invoice" not in node.calls
    assert (order.state, order.hold_invoice.state, order.hold_invoice.return_cause) == ("give_up", "held", "")
    assert FlagKind.TRACE_UNKNOWN in {flag.kind for flag in order.standing}
    assert order.events.filter(cause=Cause.PAYMENT_KEPT).count() == 1
    assert order.due_at is not None and order.due_at > timezone.now()  # not forgotten, and no busy loop


def test_what_was_cancelled_rightly_goes_back(node: ScriptedNode) -> None:
    order = delivered(node)
    node.pending = []
    ending.cancel(order.pk, actor=STAFF)
    look(order, node)
    assert "cancel_invoice" in node.calls


def test_staff_who_are_to_return_an_onchain_payment_are_told_of_the_channel(node: ScriptedNode) -> None:
    order = delivered(node, counted_payment="onchain", invoice__state=InvoiceState.CANCELLED)
    ending.cancel(order.pk, actor=STAFF)
    kinds = {flag.kind for flag in look(order, node).standing}
    assert kinds == {FlagKind.CANCELLED_PAID, FlagKind.TRACE_UNKNOWN}


def test_and_where_the_order_was_given_up(node: ScriptedNode) -> None:
    order = OrderFactory(give_up=True, counted_payment="onchain", invoice__state=InvoiceState.CANCELLED)
    node.pending = [pending(Outpoint(txid("real"), 0), order)]
    assert FlagKind.TRACE_UNKNOWN in {flag.kind for flag in look(order, node).standing}


def went_back(node: ScriptedNode, **ago: float) -> ChannelOrder:
    """By our records; the node's list says that it is held."""
    order: ChannelOrder = OrderFactory(refunded=True)
    at = timezone.now() - timedelta(**ago)
    HoldInvoice.objects.filter(order=order).update(state=InvoiceState.CANCELLED, cancelled_at=at)
    there = replace(held(order), memo=marks.invoice_memo(order.pk))
    node.by_hash[order.hold_invoice.payment_hash] = there
    return order


def test_a_payment_that_goes_back_while_the_node_lists_it_pauses_nothing(node: ScriptedNode) -> None:
    """Whoever pays and does not claim would else stop the shop."""
    went_back(node, seconds=1)
    assert recovering.survey(node) == []  # type: ignore[arg-type]
    assert not recovering.pause_if_behind(node)  # type: ignore[arg-type]


def test_a_payment_that_is_held_for_an_order_which_says_that_it_went_back_is_listed(node: ScriptedNode) -> None:
    order = went_back(node, minutes=6)
    [found] = recovering.survey(node)  # type: ignore[arg-type]
    assert (found.kind, found.what) == (recovering.Kind.PAYMENT, order.hold_invoice.payment_hash)
    assert recovering.pause_if_behind(node)  # type: ignore[arg-type]
    assert recovering.return_payments([found], node, actor=actors.command("ada")) == [found]  # type: ignore[arg-type]
