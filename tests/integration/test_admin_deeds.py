"""What staff do to orders, through the pages themselves."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orders import actors
from orders.admin.deeds import DEEDS, perform
from orders.models import ChannelOrder, Flag, HoldInvoice, OrderEvent
from orders.states import InvoiceState, OrderState
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory
from tests.integration.staff import LIST, STEER, browser, do, journal, listed, page_of, seen, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    """A browser of staff who may look at everything, and do nothing."""
    return browser(staff("rita", "view_channelorder", "view_orderevent", "view_holdinvoice"))


def sure(client: Client, asked: Any) -> Any:
    """The form that asks is sent as it stands."""
    form: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(order|shown|deed|back|sure)" value="([^"]*)"', asked.content.decode()):
        form.setdefault(name, []).append(value)
    return client.post(STEER, form, follow=True)


def test_a_given_up_order_is_retried_from_the_list_in_the_persons_name(boss: Client) -> None:
    orders = [OrderFactory(give_up=True), OrderFactory(give_up=True)]
    asked = boss.post(LIST, {"action": "retry", "_selected_action": [o.pk for o in orders]})
    assert not OrderEvent.objects.exists()
    assert "Will be tried again: " in seen(sure(boss, asked))
    for order in orders:
        order.refresh_from_db()
        assert order.state == OrderState.URI_SET
        assert journal(order) == [("retried", "staff:alice")]


def test_a_refusal_is_told_and_stops_no_other(boss: Client) -> None:
    lost, fine, wrong = OrderFactory(give_up=True), OrderFactory(give_up=True), OrderFactory(open=True)
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.CANCELLED)
    page = do(boss, "retry", lost, fine, wrong)
    assert f"Will be tried again: {str(fine.pk)[:8]}." in page
    assert f"Retry: not {str(lost.pk)[:8]}: The Lightning payment is not held any more." in page
    assert f"Retry: not {str(wrong.pk)[:8]}: The order is in state Open, not given up." in page


def test_a_defect_in_one_order_is_no_error_page(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("orders.operations.giving_up.retry", broken)
    page = do(boss, "retry", OrderFactory(give_up=True))
    assert "by a fault of the server" in page and "secret" not in page


def test_the_page_of_an_order_offers_what_fits_its_state(boss: Client) -> None:
    late = OrderFactory(expired=True, flagged=True)
    DepositFactory(order=late)
    offered = {
        "created": (OrderFactory(), ["cancel"]),
        "claimed": (OrderFactory(uri_set=True), ["give_up", "cancel"]),
        "given up": (OrderFactory(give_up=True), ["retry", "cancel"]),
        "opening": (OrderFactory(opening=True), ["extend_lease"]),
        "late": (late, ["record_returned", "revive", "pay_back", "settle_flag"]),
    }
    always = {name for name, deed in DEEDS.items() if deed.is_aside}
    for name, (order, deeds) in offered.items():
        page = boss.get(page_of(order)).content.decode()
        found = re.findall(r'name="deed" value="(\w+)"', page)
        assert [deed for deed in found if deed not in always] == deeds and "note" in found, name


def test_giving_up_is_asked_first_and_says_what_becomes_of_the_money(boss: Client) -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    page = do(boss, "give_up", order)
    order.refresh_from_db()
    assert order.state == OrderState.URI_SET
    assert f"{order.order_total_sat:,} sat stay held until" in page
    assert "Given up: " in do(boss, "give_up", order, sure="yes")
    order.refresh_from_db()
    assert (order.state, order.give_up_reason) == (OrderState.GIVE_UP, "PEER_NOT_REACHABLE")
    assert journal(order) == [("gave_up", "staff:alice")]


def test_cancelling_from_the_list_is_asked_first_for_each_order(boss: Client) -> None:
    held, onchain, over = OrderFactory(uri_set=True), OrderFactory(paid_onchain=True), OrderFactory(open=True)
    chosen = {"action": "cancel", "_selected_action": [held.pk, onchain.pk, over.pk]}
    answer = boss.post(f"{LIST}?o=-1", chosen)
    page = seen(answer)
    assert f"{held.order_total_sat:,} sat that the node holds go back to the buyer at once." in page
    back = "go back to the buyer on chain by themselves, as soon as an address is known, once the deposits are final."
    assert f"{onchain.order_total_sat:,} sat {back}" in page
    assert f"{over.pk} is Open" in page
    assert not OrderEvent.objects.exists()
    form = dict(re.findall(r'name="(deed|back|sure)" value="([^"]*)"', answer.content.decode()))
    asked = re.findall(r'name="order" value="([^"]*)"', answer.content.decode())
    done = boss.post(STEER, {**form, "order": asked})
    assert set(asked) == {str(held.pk), str(onchain.pk)}
    assert done.url == f"{LIST}?o=-1"
    held.refresh_from_db(), onchain.refresh_from_db()
    assert HoldInvoice.objects.get(order=held).state == InvoiceState.RETURNING
    assert onchain.state == OrderState.REJECTED and onchain.needs_staff
    assert {actor for order in (held, onchain) for _, actor in journal(order)} == {"staff:alice"}


def test_a_late_payment_is_accepted_and_an_uncovered_one_is_not(boss: Client, settings: Any) -> None:
    late, short = OrderFactory(expired=True, paid_late=True), OrderFactory(expired=True, paid_late=True)
    DepositFactory(order=late, confirmations=6)
    DepositFactory(order=short, confirmations=6, amount_sat=5)
    asked = do(boss, "revive", late, short)
    assert f"{short.pk} is Expired: No on-chain payment covers this order." in asked
    assert ChannelOrder.objects.get(pk=late.pk).state == OrderState.EXPIRED
    page = do(boss, "revive", late, short, sure="yes")
    assert f"Paid after all: {str(late.pk)[:8]}." in page
    assert f"not {str(short.pk)[:8]}: No on-chain payment covers this order." in page
    late.refresh_from_db()
    assert (late.state, late.counted_payment) == (OrderState.PAID, "onchain")
    assert journal(late) == [("late_payment_accepted", "staff:alice")]


@pytest.mark.parametrize("more_sat", [0, 900])
def test_before_a_late_payment_is_accepted_it_is_said_what_of_it_becomes_ours_and_at_which_price(
    boss: Client, more_sat: int
) -> None:
    order = OrderFactory(expired=True, paid_late=True)
    DepositFactory(order=order, confirmations=6, amount_sat=order.order_total_sat + more_sat)
    SnapshotFactory(estimate_sat_per_kw=2 * order.quoted_sat_per_kw)
    told = do(boss, "revive", order)
    today_sat = order.fee_total_sat + order.open_fee_sat + order.close_fee_sat
    assert f"{order.order_total_sat:,} sat of the buyer's that came on chain become ours" in told
    assert f"{order.fee_total_sat:,} sat (today it would be {today_sat:,} sat)" in told
    assert ("900 sat more stay the buyer's" in told) is bool(more_sat)
    assert journal(order) == []


def test_a_flag_is_taken_down_and_the_journal_keeps_it(boss: Client) -> None:
    order = OrderFactory(flagged="Look at this.")
    assert "Marked as seen: " in do(boss, "settle_flag", order)
    assert listed(boss, surprise="needs_staff") == set()
    event, flag = OrderEvent.objects.get(order=order), Flag.objects.get(order=order)
    assert (event.cause, event.actor) == ("staff_have_looked", "staff:alice")
    assert event.facts == {"kind": "other", "reason": "Look at this."}
    assert flag.lowered_at is not None and flag.lowered_by == "staff:alice"


@pytest.mark.parametrize("deed", DEEDS)
def test_who_may_only_read_can_do_nothing(reader: Client, deed: str) -> None:
    order = OrderFactory(give_up=True, flagged=True)
    assert "Gave up" in seen(reader.get(page_of(order)))
    assert 'name="deed"' not in reader.get(page_of(order)).content.decode()
    assert reader.post(STEER, {"deed": deed, "order": order.pk, "sure": "yes"}).status_code == 403
    reader.post(LIST, {"action": deed, "_selected_action": order.pk})
    order.refresh_from_db()
    assert order.state == OrderState.GIVE_UP and order.needs_staff
    assert journal(order) == []


def test_who_may_change_orders_can_steer_them_and_still_edits_nothing() -> None:
    client = browser(staff("sam", "change_channelorder"))
    order = OrderFactory(give_up=True)
    do(client, "retry", order)
    assert journal(order) == [("retried", "staff:sam")]
    assert client.post(page_of(order), {"state": "open"}).status_code == 403


def test_strangers_are_sent_to_the_login() -> None:
    order = OrderFactory(give_up=True)
    for url in (LIST, STEER, page_of(order)):
        answer = Client().post(url, {"deed": "retry", "order": order.pk})
        assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
    assert journal(order) == []


def test_a_deed_needs_the_token_of_its_form() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("alice"))
    order = OrderFactory(give_up=True)
    assert client.post(STEER, {"deed": "retry", "order": order.pk}).status_code == 403


@pytest.mark.parametrize(
    "form",
    [{}, {"deed": "delete"}, {"deed": "retry"}, {"deed": "retry", "order": "x"}, {"deed": "cancel", "order": "0" * 32}],
)
def test_a_form_that_makes_no_sense_does_nothing(boss: Client, form: dict[str, str]) -> None:
    order = OrderFactory(give_up=True)
    assert boss.post(STEER, form, follow=True).status_code == 200
    assert boss.get(STEER, form, follow=True).status_code == 200
    assert journal(order) == []


def test_a_deed_leads_back_to_our_own_pages_only(boss: Client) -> None:
    order = OrderFactory(give_up=True)
    answer = boss.post(STEER, {"deed": "retry", "order": order.pk, "back": "https://elsewhere.example/"})
    assert answer.url == LIST


@pytest.mark.django_db(transaction=True)
def test_money_that_was_returned_by_hand_is_recorded_with_the_persons_name() -> None:
    order, held = OrderFactory(give_up=True, counted_payment="onchain"), OrderFactory(give_up=True)
    outcomes = perform(DEEDS["record_returned"], [order.pk, held.pk], actor=actors.staff("ada"))
    assert [bool(outcome.refusal) for outcome in outcomes] == [False, True]
    order.refresh_from_db()
    assert order.state == OrderState.REFUNDED
    assert journal(order)[-1] == ("returned_by_hand", "staff:ada")
