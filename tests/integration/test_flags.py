"""Flags: one for each reason, none hides another, and each is down when what it was raised for is over."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from lightning.errors import InsufficientFunds
from lightning.types import NodeAddress, TxOutput
from orders import actors, flags, queries
from orders.advance import advance
from orders.causes import Cause, FlagKind
from orders.flags import ENDS, Found, ended_by
from orders.models import ChannelOrder, Flag, OnchainPayment, OrderEvent
from orders.openings import reasons, retrying
from orders.operations import claiming, ending, giving_up
from orders.payments.onchain import recording
from orders.states import InvoiceState, OpeningState, OrderState
from orders.transitions import IllegalMove, begin_opening, locked, move, move_invoice, move_opening, note
from tests.factories import DepositFactory, FlagFactory, OrderFactory, SnapshotFactory, pubkey, txid
from tests.integration.staff import LIST, STEER, do, journal, page_of, seen
from tests.scripted import ScriptedNode, held, mined, unmined

pytestmark = pytest.mark.django_db

K = FlagKind


def standing(order: Any) -> set[str]:
    read = queries.order_or_raise(order.pk)
    kinds = {flag.kind for flag in read.standing}
    assert read.standing_flags == len(kinds) == Flag.objects.filter(order=order, lowered_at=None).count()
    return kinds


# Raising


def test_none_hides_another() -> None:
    order = OrderFactory(open=True)
    flags.flag(order.pk, K.UNMINED, "The funding stays unmined.")
    flags.flag(order.pk, K.CHANNEL_INACTIVE, "The channel is not active.")
    assert [flag.words for flag in queries.order_or_raise(order.pk).standing] == [
        "The funding stays unmined.",
        "The channel is not active.",
    ]


def test_one_that_is_raised_again_is_one_and_is_journalled_for_each_change_of_its_words() -> None:
    order = OrderFactory(open=True)
    for words in ("500 sat too much.", "500 sat too much.", "700 sat too much.", "700 sat too much."):
        flags.flag(order.pk, K.DEPOSITS_SURPLUS, words)
    [stands] = queries.order_or_raise(order.pk).standing
    assert (stands.words, stands.raised_by, stands.stands) == ("700 sat too much.", "lsp", True)
    rows = OrderEvent.objects.filter(order=order).values_list("cause", "facts__kind", "facts__reason")
    assert list(rows) == [
        ("needs_staff", "deposits_surplus", "500 sat too much."),
        ("needs_staff", "deposits_surplus", "700 sat too much."),
    ]


def test_raised_after_it_was_down_it_is_another_row() -> None:
    order = OrderFactory(open=True, flagged="Look at it.")
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    flags.flag(order.pk, K.OTHER, "Look at it.")
    first, second = Flag.objects.filter(order=order)
    assert (first.stands, first.lowered_by, second.stands) == (False, "staff:ada", True)


def test_words_that_are_too_long_are_cut_and_are_no_news_for_that() -> None:
    order = OrderFactory(open=True)
    for _ in range(2):
        flags.flag(order.pk, K.OTHER, "x" * 400)
    assert Flag.objects.get().words == "x" * 300
    assert OrderEvent.objects.filter(order=order).count() == 1


def test_the_database_knows_no_two_of_a_kind_that_stand_and_none_that_nobody_lowered() -> None:
    order = OrderFactory(open=True, flagged=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        FlagFactory(order=order)
    with pytest.raises(IntegrityError), transaction.atomic():
        Flag.objects.update(lowered_at=timezone.now())
    FlagFactory(order=order, lowered_at=timezone.now(), lowered_by="lsp")


def test_a_count_that_is_wrong_stops_no_order_and_is_right_again_with_the_next_flag() -> None:
    order = OrderFactory(open=True)
    for kind in (K.UNMINED, K.OTHER):
        FlagFactory(order=order, kind=kind)
    ChannelOrder.objects.filter(pk=order.pk).update(standing_flags=0)
    flags.flag(order.pk, K.OTHER, "It says something else.")
    flags.flag(order.pk, K.GAVE_UP, "Gave up.")
    assert standing(order) == {"unmined", "other", "gave_up"}
    ChannelOrder.objects.filter(pk=order.pk).update(standing_flags=1)
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    assert standing(order) == set()


# The table of what ends each


def test_the_table_says_of_every_kind_what_ends_it() -> None:
    assert set(ENDS) == set(FlagKind)
    assert {row[0] for row in reasons.CALLS_STAFF.values()} <= set(FlagKind)


@pytest.mark.parametrize("kind", [kind for kind in ENDS if ENDS[kind]])
def test_what_the_table_says_takes_it_down_and_no_other(kind: FlagKind) -> None:
    assert all(kind in ended_by(signal) for signal in ENDS[kind])
    order, signal = OrderFactory(open=True), ENDS[kind][0]
    others = [other for other in FlagKind if other not in ended_by(signal)][:3]
    for each in (kind, *others):
        FlagFactory(order=order, kind=each)
    with locked(order.pk) as held_order:
        flags.happened(held_order, signal, actor=actors.staff("ada"))
    assert standing(order) == {str(other) for other in others}
    assert Flag.objects.get(kind=kind).lowered_by == "staff:ada"
    assert journal(order) == [("flag_fell", "staff:ada")]


def test_states_of_different_machines_with_the_same_name_are_told_apart() -> None:
    assert ended_by(OrderState.OPEN) and not ended_by(InvoiceState.OPEN) & ended_by(OrderState.OPEN)
    assert K.GAVE_UP not in ended_by(Cause.GAVE_UP)


LOSSES_AND_DECISIONS = {
    K.CONFLICT_OVER_BUDGET, K.MINED_AFTER_ALL, K.UNPAID_CHANNEL, K.PAYER_UNKNOWN, K.OTHER,
}  # fmt: skip


def test_what_names_a_loss_is_down_by_a_persons_word_alone() -> None:
    assert {kind for kind in FlagKind if not ENDS[kind]} == LOSSES_AND_DECISIONS


# Each writer of a state asks the table


def by_move(order: ChannelOrder) -> None:
    move(order, OrderState.CLOSING, cause=Cause.CHANNEL_CLOSING)


def by_invoice(order: ChannelOrder) -> None:
    move_invoice(order, order.hold_invoice, InvoiceState.SETTLED)


def by_opening(order: ChannelOrder) -> None:
    move_opening(order, order.openings.get(), OpeningState.CONFIRMED)


def by_beginning(order: ChannelOrder) -> None:
    order.openings.update(state=OpeningState.FAILED)
    like = order.openings.get()
    begin_opening(
        order, created_at=timezone.now(), changed_at=timezone.now(), pending_chan_id=b"", announced=True,
        node_pubkey=like.node_pubkey, capacity_sat=1, push_sat=0,
    )  # fmt: skip


def by_note(order: ChannelOrder) -> None:
    note(order, Cause.FUNDING_MINED)


@pytest.mark.parametrize(
    ("writes", "kind", "steps"),
    [
        (by_move, K.CHANNEL_INACTIVE, 1),
        (by_invoice, K.NOT_SETTLED, 1),
        (by_opening, K.ATTEMPT_STUCK, 1),
        (by_beginning, K.SENT_BACK, 1),
        (by_note, K.UNMINED, 0),
    ],
)
def test_every_writer_takes_down_what_it_ends_and_a_note_is_no_step(
    writes: Callable[[ChannelOrder], None], kind: FlagKind, steps: int
) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD)
    for each in (kind, K.OTHER):
        FlagFactory(order=order, kind=each)
    with locked(order.pk) as held_order:
        writes(held_order)
    assert standing(order) == {"other"}
    assert queries.order_or_raise(order.pk).step == order.step + steps


def test_what_belongs_to_another_order_is_not_moved() -> None:
    order, other = OrderFactory(opening=True, invoice__state=InvoiceState.HELD), OrderFactory(opening=True)
    with pytest.raises(IllegalMove), locked(other.pk) as held_order:
        move_invoice(held_order, order.hold_invoice, InvoiceState.SETTLED)
    with pytest.raises(IllegalMove), locked(other.pk) as held_order:
        move_opening(held_order, order.openings.get(), OpeningState.CONFIRMED)


def test_an_order_without_flags_asks_the_database_nothing_of_them() -> None:
    order = OrderFactory(paid_lightning=True)
    said: list[str] = []

    def note_it(execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        said.append(sql)
        return execute(sql, given, many, context)

    with connection.execute_wrapper(note_it):
        claiming.claim(order.pk, NodeAddress(pubkey(1)), announced=None, actor=actors.BUYER)
        queries.order_or_raise(order.pk)
        flags.found(order, Found.NO_DEFECT)
    assert said and not [sql for sql in said if "orders_flag" in sql]


# What staff do answers what it answers


def test_a_retry_takes_down_that_we_gave_up_and_nothing_else() -> None:
    order = OrderFactory(give_up=True)
    for kind in (K.GAVE_UP, K.PAID_BESIDES, K.SERVER_DEFECT):
        FlagFactory(order=order, kind=kind)
    giving_up.retry(order.pk, actor=actors.staff("ada"))
    assert standing(order) == {"paid_besides", "server_defect"}
    assert Flag.objects.get(kind=K.GAVE_UP).lowered_by == "staff:ada"


def test_money_that_was_returned_by_hand_takes_down_what_waited_for_that_and_nothing_else() -> None:
    order = OrderFactory(give_up=True, counted_payment="onchain")
    for kind in (K.GAVE_UP, K.DEPOSITS_SURPLUS, K.SENT_BACK, K.DOUBLE_SPENT):
        FlagFactory(order=order, kind=kind)
    ending.record_returned(order.pk, actor=actors.staff("ada"))
    assert standing(order) == {"double_spent"}


def test_a_late_payment_that_is_accepted_takes_down_what_it_answers_and_tells_of_the_surplus() -> None:
    order = OrderFactory(expired=True)
    DepositFactory(order=order, confirmations=6, amount_sat=order.order_total_sat + 700)
    for kind in (K.PAID_LATE, K.ENDED_WITH_DEPOSITS, K.SERVER_DEFECT):
        FlagFactory(order=order, kind=kind)
    ending.revive(order.pk, actor=actors.staff("ada"))
    assert standing(order) == {"server_defect", "deposits_surplus"}


def test_lightning_money_that_went_back_hides_no_deposit_that_is_still_with_us(node: ScriptedNode) -> None:
    order = OrderFactory(give_up=True, invoice__state=InvoiceState.RETURNING, due_at=timezone.now())
    DepositFactory(order=order)
    FlagFactory(order=order, kind=K.PAID_BESIDES)
    FlagFactory(order=order, kind=K.LIGHTNING_SURPLUS)
    advance(order.pk, node=node)  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == OrderState.REFUNDED
    assert standing(order) == {"paid_besides"}


def test_marking_as_seen_takes_down_all_that_stand_each_with_its_row_of_the_journal(boss: Client) -> None:
    order = OrderFactory(open=True)
    for kind in (K.UNMINED, K.DOUBLE_SPENT):
        FlagFactory(order=order, kind=kind)
    do(boss, "settle_flag", order)
    assert standing(order) == set()
    rows = OrderEvent.objects.filter(order=order).values_list("cause", "actor", "facts__kind")
    assert list(rows) == [(Cause.STAFF_HAVE_LOOKED, "staff:alice", kind) for kind in ("unmined", "double_spent")]


def test_one_of_several_is_marked_as_seen_alone(boss: Client) -> None:
    order = OrderFactory(open=True)
    for kind in (K.UNMINED, K.DOUBLE_SPENT):
        FlagFactory(order=order, kind=kind)
    page = boss.get(page_of(order)).content.decode()
    assert page.count('name="flag"') == 2
    assert "Marked as seen: " in do(boss, "settle_flag", order, flag="unmined")
    assert standing(order) == {"double_spent"}
    assert 'name="flag"' not in boss.get(page_of(order)).content.decode()


@pytest.mark.parametrize("form", [{"deed": "settle_flag", "flag": "nonsense"}, {"deed": "cancel", "flag": "other"}])
def test_a_form_that_names_no_flag_that_there_is_takes_none_down(boss: Client, form: dict[str, str]) -> None:
    order = OrderFactory(flagged=True)
    boss.post(STEER, {**form, "order": order.pk, "sure": "yes"})
    assert standing(order) == {"other"} and journal(order) == []


# Where each is raised, it is over in time


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def look(order: Any, node: ScriptedNode) -> set[str]:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return standing(order)


def test_coins_that_are_short_call_a_person_once_however_many_attempts_find_it(node: ScriptedNode) -> None:
    """That an attempt begins says nothing of the coins: it is down only when a funding was drafted."""
    order = OrderFactory(uri_set=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.fails_at["open_channel"] = InsufficientFunds("not enough witness outputs to create funding transaction")
    for _ in range(3):
        assert look(order, node) == {"coins_short"}
    assert node.calls.count("open_channel") == 3
    assert Flag.objects.filter(order=order).count() == 1


def test_a_deposit_that_was_taken_back_calls_a_person_until_it_is_back(node: ScriptedNode) -> None:
    order = OrderFactory(paid_onchain=True, deposits=False)
    output = TxOutput(1, order.deposit_address, order.order_total_sat, True)
    recording.record([mined(txid(1), outputs=[output])])
    assert standing(order) == set()
    recording.record([unmined(txid(1), outputs=[output])])
    assert standing(order) == {"deposit_taken_back"}
    recording.record([mined(txid(1), outputs=[output])])
    assert standing(order) == set()
    recording.forget(OnchainPayment.objects.all(), [])
    assert standing(order) == {"deposit_vanished"}
    recording.record([mined(txid(2), outputs=[TxOutput(0, order.deposit_address, 5, True)])])
    assert standing(order) == {"deposit_vanished"}  # less than what is missing
    recording.record([mined(txid(1), outputs=[output])])
    assert standing(order) == {"deposits_surplus"}


def test_who_gave_up_is_who_raised_the_flag() -> None:
    order = OrderFactory(uri_set=True, counted_payment="onchain")
    giving_up.give_up(order.pk, reason="FAILED_OPENING", actor=actors.staff("ada"))
    [flag] = queries.order_or_raise(order.pk).standing
    assert (flag.kind, flag.raised_by) == ("gave_up", "staff:ada")
    giving_up.retry(order.pk, actor=actors.staff("ada"))
    assert standing(order) == set()
    with locked(order.pk) as held_order:
        retrying.mark_given_up(held_order, reason="CANCELLED", actor=actors.LSP)
    assert standing(order) == {"gave_up"}
    ending.cancel(order.pk, actor=actors.staff("ada"))
    assert standing(order) == {"cancelled_paid"}


# What people read


def test_an_orders_page_shows_all_that_stand_and_what_is_down_with_when_and_by_whom(boss: Client) -> None:
    order = OrderFactory(open=True)
    FlagFactory(order=order, kind=K.UNMINED, words="It stays unmined.")
    FlagFactory(order=order, kind=K.CHANNEL_INACTIVE, words="It is not active.")
    FlagFactory(order=order, words="It was odd.", lowered_at=timezone.now(), lowered_by="staff:ada")
    page = seen(boss.get(page_of(order)))
    top, below = page.split("What was ordered")
    assert "It stays unmined." in top and "It is not active." in top and "It was odd." not in top
    assert "It was odd." in below and "staff:ada" in below
    assert "for a person to look at it (funding unmined, channel inactive)" in top


def test_the_list_names_what_stands_and_nothing_that_is_down(boss: Client) -> None:
    order = OrderFactory(open=True)
    FlagFactory(order=order, kind=K.UNMINED)
    FlagFactory(order=order, kind=K.OTHER, lowered_at=timezone.now(), lowered_by="staff:ada")
    page = boss.get(LIST, {"surprise": "needs_staff"}).content.decode()
    assert 'lsp-alarm">funding unmined<' in page and ">other<" not in page


def test_the_list_of_flags_is_filtered_by_kind_and_by_whether_they_stand(boss: Client) -> None:
    FlagFactory(kind=K.UNMINED, words="The first.")
    FlagFactory(words="The second.", lowered_at=timezone.now(), lowered_by="staff:ada")
    base = "/admin/orders/flag/"
    assert "The first." in seen(boss.get(base, {"standing": "yes"})) and "The second." in seen(boss.get(base))
    assert "The first." not in seen(boss.get(base, {"standing": "no"}))
    assert "The second." not in seen(boss.get(base, {"kind": "unmined"}))
    assert boss.get(f"{base}{Flag.objects.first().pk}/change/").status_code == 200  # type: ignore[union-attr]
    assert boss.get(f"{base}add/").status_code == 403


def test_the_command_prints_what_stands_and_the_whole_history() -> None:
    order = OrderFactory(open=True)
    FlagFactory(order=order, kind=K.UNMINED, words="It stays unmined.")
    FlagFactory(order=order, words="It was odd.", lowered_at=timezone.now(), lowered_by="staff:ada")
    out = StringIO()
    call_command("order", str(order.pk), stdout=out)
    told = out.getvalue()
    assert told.count("a person because") == 1 and "It stays unmined." in told
    assert "It was odd." in told and "by staff:ada" in told and "; stands" in told
