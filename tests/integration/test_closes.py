"""What a closed channel means for the money of its order: whose fault, how early, and what is proposed to go back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress, Outpoint, PendingPhase
from orders import actors, queries, wire
from orders.advance import advance
from orders.causes import Cause, FlagKind
from orders.errors import NotClaimable, NotPossible
from orders.models import ChannelOrder, HoldInvoice, NodeSnapshot, Refund, WalletTransaction
from orders.openings import closes, following, publishing
from orders.operations import claiming, deciding, ending, giving_up
from orders.payments import onchain
from orders.states import InvoiceState, OrderState, RefundState
from orders.wallet import broadcasting
from tests.closed import Closing, closed, standing, unused
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, TransactionFactory, pubkey
from tests.fakes import regtest_address
from tests.scripted import mined, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")


@pytest.fixture
def node() -> Closing:
    SnapshotFactory()
    return Closing()


# Before it was ever usable


@pytest.mark.parametrize(
    ("kind", "initiator", "is_less"),
    [
        ("remote_force_close", False, True),
        ("cooperative_close", False, True),
        ("cooperative_close", True, False),
        ("cooperative_close", None, False),
        ("local_force_close", None, False),
    ],
)
def test_whoever_closes_it_before_it_was_usable_the_fee_is_proposed_to_go_back(
    node: Closing, kind: str, initiator: bool | None, is_less: bool
) -> None:
    order, refunds = closed(node, unused(), kind, initiator)
    cost_sat = 2_220 + 1_900  # as was asked for them: the funding itself has cost 2,000
    [refund] = refunds
    assert (refund.state, refund.cause, refund.ends_order) == (RefundState.PROPOSED, Cause.CLOSED_UNUSED, False)
    assert refund.amount_sat == order.fee_total_sat - (cost_sat if is_less else 0)
    assert standing(order) == [FlagKind.CLOSED_UNUSED]
    assert order.state == OrderState.CLOSED


def test_the_policy_may_give_even_him_who_closed_it_all_that_he_paid(node: Closing, settings: Any) -> None:
    settings.EARLY_CLOSE_KEEPS_CHAIN_FEES = False
    order, [refund] = closed(node, unused(), "remote_force_close", False)
    assert refund.amount_sat == order.fee_total_sat


def test_what_the_chain_has_really_cost_is_kept_where_it_was_more_than_was_asked_for(node: Closing) -> None:
    order = unused()
    WalletTransaction.objects.update(fee_sat=4_500)
    order, [refund] = closed(node, order, "remote_force_close", False)
    assert refund.amount_sat == order.fee_total_sat - 4_500 - 1_900


def test_what_was_pushed_goes_back_only_where_no_closing_transaction_pays_it(node: Closing) -> None:
    order, [refund] = closed(node, unused(), "abandoned", None)
    assert refund.amount_sat == order.fee_total_sat + order.client_balance_sat


@pytest.mark.parametrize("state", [InvoiceState.CANCELLED, InvoiceState.OPEN])
def test_of_a_channel_that_was_not_paid_for_nothing_is_proposed_and_a_person_told(node: Closing, state: str) -> None:
    order = unused()
    HoldInvoice.objects.update(state=state)
    order, refunds = closed(node, order, "local_force_close", True)
    assert not refunds and standing(order) == [FlagKind.CLOSED_UNUSED]


def test_it_is_told_as_soon_as_the_close_begins(node: Closing) -> None:
    order = unused()
    outpoint = Outpoint.parse(order.openings.get().funding_outpoint)
    node.pending = [replace(pending(outpoint, order), phase=PendingPhase.FORCE_CLOSING, closing_txid="cc" * 32)]
    following.follow(order.pk, node)  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == OrderState.CLOSING
    assert standing(order) == [FlagKind.CLOSED_UNUSED] and not order.refunds.exists()
    node.pending = []
    order, refunds = closed(node, order, "local_force_close", True)
    assert len(refunds) == 1 and standing(order) == [FlagKind.CLOSED_UNUSED]


# After it was usable


def used(*, days: int = 0) -> ChannelOrder:
    return OrderFactory(open=True, opened_at=timezone.now() - timedelta(days=days))


@pytest.mark.parametrize(
    ("kind", "initiator", "days", "height", "is_case"),
    [
        ("cooperative_close", True, 1, 0, True),
        ("cooperative_close", None, 1, 0, True),
        ("local_force_close", None, 1, 0, True),
        ("abandoned", None, 1, 0, True),
        ("cooperative_close", True, 8, 0, False),
        ("cooperative_close", False, 1, 0, False),
        ("remote_force_close", False, 0, 0, False),
        ("breach_close", False, 0, 0, False),
        # told late: its transaction was in block 801 + n
        ("local_force_close", True, 20, 801 + 1000, True),
        ("local_force_close", True, 20, 801 + 1008, False),
    ],
)
def test_only_a_close_of_our_own_within_the_grace_is_a_case(
    node: Closing, kind: str, initiator: bool | None, days: int, height: int, is_case: bool
) -> None:
    order, refunds = closed(node, used(days=days), kind, initiator, height=height)
    amounts = [(refund.cause, refund.amount_sat) for refund in refunds]
    pushed_sat = order.client_balance_sat if kind == "abandoned" else 0
    assert amounts == ([(Cause.CLOSED_EARLY, order.fee_total_sat + pushed_sat)] if is_case else [])
    assert standing(order) == ([FlagKind.CLOSED_EARLY] if is_case else [])
    assert order.state == OrderState.CLOSED


def test_one_whose_close_is_in_the_block_of_its_funding_was_of_no_use_though_the_node_called_it_active(
    node: Closing,
) -> None:
    _, [refund] = closed(node, used(), "remote_force_close", False, height=801)
    assert refund.cause == Cause.CLOSED_UNUSED


def test_control_whoever_takes_every_close_for_ours_proposes_a_refund_to_who_closed_it_himself(
    node: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closes, "closed_by_us", lambda closed: True)
    _, refunds = closed(node, used(), "remote_force_close", False)
    assert refunds


# A person decides


def test_nothing_is_sent_before_a_person_has_granted_it_and_then_it_goes_as_any_refund(node: Closing) -> None:
    order, [refund] = closed(node, unused(refund_address=regtest_address(9)), "local_force_close", True)
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert Refund.objects.get().state == RefundState.PROPOSED
    assert queries.stock(NodeSnapshot.objects.get()).total_sat == 100_000_000 - 10_000
    deciding.grant(order.pk, actor=ADA)
    assert Refund.objects.get().state == RefundState.DUE
    assert onchain.live_refund(queries.order_or_raise(order.pk)) == refund
    assert queries.stock(NodeSnapshot.objects.get()).total_sat == 100_000_000 - 10_000 - refund.amount_sat
    assert not standing(order)
    with pytest.raises(NotPossible):
        deciding.grant(order.pk, actor=ADA)


def test_a_refund_that_was_granted_is_not_taken_for_one_that_deposits_no_longer_owe(node: Closing) -> None:
    """What is due of deposits is nothing: the channel was delivered, as the records say."""
    order, _ = closed(node, unused(refund_address=regtest_address(9)), "local_force_close", True)
    deciding.grant(order.pk, actor=ADA)
    node.coins = lambda min_confirmations: ()  # type: ignore[method-assign,assignment]
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert Refund.objects.get().state == RefundState.DUE
    assert standing(order) == [FlagKind.REFUND_STUCK]  # our coins are short, and that is all


def test_granted_without_an_address_it_waits_for_one_and_the_buyer_reads_that(node: Closing) -> None:
    order, [refund] = closed(node, unused(), "local_force_close", True)
    place = wire.Place("https://example.org")
    assert wire.view(queries.order_or_raise(order.pk), place).refund_sat is None
    deciding.grant(order.pk, actor=ADA)
    view = wire.view(queries.order_or_raise(order.pk), place)
    assert (view.refund_needed, view.refund_sat) == (True, refund.amount_sat)
    assert standing(order) == [FlagKind.REFUND_NEEDED]


def test_declined_it_is_over_and_the_journal_says_why(node: Closing) -> None:
    order, [refund] = closed(node, unused(), "remote_force_close", False)
    deciding.decline(order.pk, reason="  He  closed it. ", actor=ADA)
    refund.refresh_from_db()
    assert (refund.state, refund.detail) == (RefundState.WITHDRAWN, "He closed it.")
    assert order.events.get(cause=Cause.REFUND_DECLINED).facts["reason"] == "He closed it."
    assert not standing(order)
    with pytest.raises(NotPossible):
        deciding.decline(order.pk, reason="Again.", actor=ADA)


def test_what_is_held_only_is_not_ours_to_send(node: Closing) -> None:
    order = unused()
    HoldInvoice.objects.update(state=InvoiceState.HELD)
    order, refunds = closed(node, order, "local_force_close", True)
    assert len(refunds) == 1
    with pytest.raises(NotPossible):
        deciding.grant(order.pk, actor=ADA)


def test_it_is_granted_only_once_the_funding_is_deep(node: Closing) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.SETTLED)
    order, _ = closed(node, order, "remote_force_close", False)
    with pytest.raises(NotPossible, match="not deep"):
        deciding.grant(order.pk, actor=ADA)


@pytest.mark.parametrize(("confirmations", "is_granted"), [(0, False), (2, False), (3, True)])
def test_it_is_granted_only_while_what_paid_it_is_deep(
    node: Closing, settings: Any, confirmations: int, is_granted: bool
) -> None:
    """Else who pays by a deposit that he can take back, and closes the channel at once, is given our money for it."""
    settings.ONCHAIN_CONFIRMATIONS = 3
    there = {"deposits__block_height": 801 - confirmations} if confirmations else {"deposits__state": "seen"}
    order = unused(
        counted_payment="onchain", on_credit=not confirmations, deposits__confirmations=confirmations, **there
    )
    if not confirmations:
        order.onchain_payments.update(block_height=None)
    order, [refund] = closed(node, order, "local_force_close", True)
    if is_granted:
        deciding.grant(order.pk, actor=ADA)
    else:
        with pytest.raises(NotPossible, match="not deep enough yet"):
            deciding.grant(order.pk, actor=ADA)
    refund.refresh_from_db()
    assert refund.state == (RefundState.DUE if is_granted else RefundState.PROPOSED)


def test_a_surplus_beside_it_goes_back_as_if_nothing_had_been_granted(node: Closing) -> None:
    order = unused(counted_payment="onchain", deposits__confirmations=99, deposits__block_height=700)
    order.onchain_payments.update(amount_sat=order.order_total_sat + 30_000)
    order, _ = closed(node, order, "local_force_close", True)
    deciding.grant(order.pk, actor=ADA)
    assert onchain.due_sat(queries.order_or_raise(order.pk), timezone.now()) == 30_000


# No channel at all, and the Lightning payment is ours


def test_given_up_with_a_settled_payment_all_of_it_is_proposed_and_trying_again_takes_that_back() -> None:
    SnapshotFactory()
    order = OrderFactory(uri_set=True, invoice__state=InvoiceState.SETTLED)
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=ADA)
    refund = Refund.objects.get()
    assert (refund.state, refund.amount_sat, refund.ends_order) == ("proposed", order.order_total_sat, True)
    giving_up.retry(order.pk, actor=ADA)
    refund.refresh_from_db()
    assert refund.state == RefundState.WITHDRAWN
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=ADA)
    assert Refund.objects.filter(state="proposed").count() == 1
    ending.cancel(order.pk, actor=ADA)
    assert Refund.objects.filter(state="proposed").count() == 1
    deciding.grant(order.pk, actor=ADA)
    assert onchain.live_refund(queries.order_or_raise(order.pk)) is not None
    ending.record_returned(order.pk, actor=ADA)
    assert not Refund.objects.exclude(state="withdrawn").exists()


def test_an_order_whose_refund_was_granted_and_signed_is_neither_claimed_nor_tried_again() -> None:
    """The refund ends it once it is mined, which an order that lives again could never record."""
    SnapshotFactory()
    order = OrderFactory(uri_set=True, invoice__state=InvoiceState.SETTLED, refund_address=regtest_address(9))
    giving_up.give_up(order.pk, reason="PEER_NOT_REACHABLE", actor=ADA)
    assert giving_up.why_not_retried(queries.order_or_raise(order.pk)) == ""  # control
    deciding.grant(order.pk, actor=ADA)
    sent = TransactionFactory(kind="refund", label="refund:1")
    Refund.objects.update(state=RefundState.SIGNED, transaction=sent, address=order.refund_address)
    with pytest.raises(NotClaimable):
        claiming.claim(order.pk, NodeAddress(pubkey(8)), announced=None, actor=actors.BUYER)
    with pytest.raises(NotPossible, match="What was paid is going back"):
        giving_up.retry(order.pk, actor=ADA)


def test_control_a_held_payment_goes_back_by_itself_and_nothing_is_proposed() -> None:
    SnapshotFactory()
    order = OrderFactory(uri_set=True)
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=ADA)
    assert not Refund.objects.exists()


# A funding that nothing of ours can hurry


def unmined_funding(node: Closing, *, change_index: int, hours: int) -> ChannelOrder:
    order = OrderFactory(opening=True, attempts=False, invoice__state=InvoiceState.SETTLED)
    opening = OpeningFactory(order=order)
    assert opening.transaction is not None
    row = WalletTransaction.objects.get(pk=opening.transaction.pk)
    row.change_index, row.published_at = change_index, timezone.now() - timedelta(hours=hours)
    row.save()
    node.wallet[row.txid] = unmined(row.txid)
    return order


@pytest.mark.parametrize(("hours", "told"), [(1, []), (3, ["unmined"])])
def test_a_funding_without_change_is_published_again_and_a_person_told_when_it_is_behind(
    node: Closing, hours: int, told: list[str]
) -> None:
    order = unmined_funding(node, change_index=-1, hours=hours)
    publishing.watch(order.pk, node)  # type: ignore[arg-type]
    assert standing(order) == told and node.published == [b"raw"]


def test_control_one_with_change_gets_its_child_first(node: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    bumped: list[int] = []
    monkeypatch.setattr(broadcasting, "bump", lambda row, node, *, budget_sat: bumped.append(budget_sat) or "")
    order = unmined_funding(node, change_index=1, hours=3)
    publishing.watch(order.pk, node)  # type: ignore[arg-type]
    assert bumped and not standing(order)
    node.wallet.update({row.txid: mined(row.txid) for row in WalletTransaction.objects.all()})
